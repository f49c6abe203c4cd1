import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperdrop_worker.eta import Eta

# Noise that is bad enough breaks any bound, once in many thousand jobs: always the same jobs, then.
chance = settings(derandomize=True, max_examples=200)


@dataclass(frozen=True)
class Job:
    """A simulated attempt: ``steps`` of work, each of so many windows that end together."""

    total_s: float
    resumed_s: float
    started_at: float
    steps: list[tuple[float, float]]
    """When a step ended, and what was done by then."""

    @property
    def ended_at(self) -> float:
        return self.steps[-1][0]

    @property
    def longest_s(self) -> float:
        """Wall seconds of the longest step."""
        times = [self.started_at, *(at for at, _ in self.steps)]
        return max(b - a for a, b in itertools.pairwise(times))


def a_job(
    seed: int, *, speed: Callable[[float], float] = lambda _: 20.0, first_at: float = 1000.0
) -> Job:
    """Windows of 20 to 30 s in batches; each step takes up to 40 % more or less than it should.

    There are at least forty steps: of fewer, a third is too small a sample to judge noise by.
    ``speed`` is in seconds of audio a second, by the share of this attempt's work that is done.
    """
    draw = random.Random(seed)  # noqa: S311 - a simulation
    batch = draw.choice([1, 1, 2, 4])
    windows = batch * draw.randint(40, 200)
    resumed_s = draw.choice([0.0, 0.0, 600.0, 5000.0])
    lengths = [draw.uniform(20, 30) for _ in range(windows)]
    total_s = resumed_s + sum(lengths)
    at, done_s = first_at, resumed_s
    steps = []
    for start in range(0, windows, batch):
        audio_s = sum(lengths[start : start + batch])
        share = (done_s - resumed_s) / (total_s - resumed_s)
        at += audio_s / speed(share) * draw.uniform(0.6, 1.4)
        done_s += audio_s
        steps.append((at, done_s))
    return Job(total_s, resumed_s, first_at, steps)


def watch(job: Job, every_s: float = 5.0) -> Iterator[tuple[float, float | None, float]]:
    """Share of the attempt's time, the estimate, and the truth, every few seconds."""
    eta = Eta()
    eta.note(job.started_at, job.resumed_s, job.total_s)
    steps = iter(job.steps)
    step = next(steps, None)
    now = job.started_at
    while (now := now + every_s) < job.ended_at:
        while step is not None and step[0] <= now:
            eta.note(step[0], step[1], job.total_s)
            step = next(steps, None)
        wall_s = job.ended_at - job.started_at
        yield (now - job.started_at) / wall_s, eta.left(now), job.ended_at - now


@chance
@given(st.integers(0, 2**32))
def test_at_a_steady_speed_it_is_right_from_a_third_of_the_work_on(seed: int) -> None:
    job = a_job(seed)
    for share, left_s, truth_s in watch(job):
        if share > 1 / 3:
            assert left_s is not None
            # Nobody can know within one step how far it has come.
            assert abs(left_s - truth_s) <= 0.3 * truth_s + job.longest_s


@chance
@given(st.integers(0, 2**32))
def test_it_is_steady(seed: int) -> None:
    """As time goes on it goes down by that time, give or take a fifth of what is left."""
    job = a_job(seed)
    late = [(left_s, truth_s) for share, left_s, truth_s in watch(job) if share > 1 / 3]
    for (left_s, truth_s), (later_s, later_truth_s) in itertools.pairwise(late):
        assert left_s is not None
        assert later_s is not None
        expected_s = left_s - (truth_s - later_truth_s)
        assert abs(later_s - expected_s) <= 0.2 * truth_s + 2 * job.longest_s


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0])
def test_it_follows_a_speed_that_changes(factor: float, seed: int) -> None:
    job = a_job(seed, speed=lambda share: 20.0 if share < 1 / 3 else 20.0 * factor)
    for share, left_s, truth_s in watch(job):
        if share > 0.85:
            assert left_s is not None
            assert abs(left_s - truth_s) <= 0.4 * truth_s + job.longest_s


def test_what_was_resumed_and_the_time_before_the_work_say_nothing_of_the_speed() -> None:
    eta = Eta()
    eta.note(5000.0, 3000.0, 4000.0)
    eta.note(5010.0, 3100.0, 4000.0)
    assert eta.left(5010.0) == pytest.approx(90)


def test_the_first_batch_ends_in_many_reports_and_they_are_one_moment() -> None:
    eta = Eta()
    for n in range(8):
        eta.note(100 + n * 0.001, 30.0 * (n + 1), 2400.0)
    assert eta.left(105.0) is None, "how long those took is not known"
    for n in range(8):
        eta.note(110 + n * 0.001, 30.0 * (n + 9), 2400.0)
    assert eta.left(110.01) == pytest.approx((2400 - 480) / 24, rel=0.01)


def test_it_counts_down_between_two_steps_but_no_further_than_a_step() -> None:
    eta = Eta()
    eta.note(0.0, 0.0, 300.0)
    eta.note(10.0, 30.0, 300.0)
    eta.note(20.0, 60.0, 300.0)
    assert [eta.left(now) for now in (20.0, 25.0, 30.0, 60.0)] == pytest.approx([80, 75, 70, 70])


def test_a_step_that_took_long_makes_it_longer() -> None:
    eta = Eta()
    for n in range(11):
        eta.note(n * 10.0, n * 30.0, 900.0)
    before = eta.left(100.0)
    eta.note(200.0, 330.0, 900.0)
    after = eta.left(200.0)
    assert before == pytest.approx(200)
    assert after is not None
    assert after > 300


def test_a_corrected_length_counts_at_once() -> None:
    eta = Eta()
    eta.note(0.0, 0.0, 100.0)
    eta.note(10.0, 50.0, 100.0)
    assert eta.left(10.0) == pytest.approx(10)
    eta.note(10.0, 50.0, 200.0)
    assert eta.left(10.0) == pytest.approx(30)


def test_nothing_is_said_before_there_is_anything_to_tell() -> None:
    eta = Eta()
    assert eta.left(0.0) is None
    eta.note(0.0, 0.0, None)
    eta.note(60.0, 30.0, None)
    assert eta.left(60.0) is None, "the length is unknown"
    eta.note(60.5, 31.0, 60.0)
    assert eta.left(60.5) is not None


def test_at_the_end_nothing_is_left() -> None:
    eta = Eta()
    eta.note(0.0, 0.0, 60.0)
    eta.note(10.0, 60.0, 60.0)
    assert eta.left(10.0) == 0
    assert eta.left(99.0) == 0
