"""Days of the fleet with the service's own decisions: what must hold whatever goes wrong."""

from dataclasses import replace

import pytest

from bench.fleet import Result, main, simulate
from bench.fleet_plan import NO_TROUBLE, Arrival, Day, Troubles
from bench.stats import percentile

QUIET = Day(jobs_an_hour=6, bursts=((9.0, 60), (13.5, 80)))
ROUGH = Troubles(
    spot_life_h=0.3,
    sudden=0.5,
    never_comes=0.2,
    throttled=((9.0, 9.2), (15.0, 15.5)),
    lost_wakes=0.3,
    doubled_wakes=0.5,
    lost_messages=0.05,
    doubled_messages=0.3,
    dead_dispatchers=0.2,
)


def nothing_is_lost(result: Result) -> None:
    assert result.transcripts == result.jobs > 0
    assert result.outcomes_twice == 0
    assert (result.left, result.machines_left) == (0, 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_on_a_usual_day_every_file_has_one_transcript_and_no_machine_is_left(seed: int) -> None:
    result = simulate(replace(QUIET, seed=seed))
    nothing_is_lost(result)
    assert result.most_machines <= QUIET.policy.limit
    assert result.spot_losses > 0
    assert result.lost_wakes > 0
    assert result.refused > 0
    assert percentile(result.cold_waits_s, 50) < 6 * 60


@pytest.mark.parametrize("seed", [1, 2])
def test_on_a_rough_day_too(seed: int) -> None:
    result = simulate(replace(QUIET, seed=seed, troubles=ROUGH))
    nothing_is_lost(result)
    assert result.most_machines <= QUIET.policy.limit
    assert min(result.spot_losses, result.lost_messages, result.deaths) > 0


def test_without_troubles_a_first_transcript_takes_a_start_and_the_work() -> None:
    result = simulate(replace(QUIET, troubles=NO_TROUBLE))
    nothing_is_lost(result)
    slowest_start_s = QUIET.machines.start_s[1]
    assert percentile(result.cold_waits_s, 50) <= slowest_start_s
    # A backlog is done when it should be, and a start later where its size was underestimated.
    assert percentile(result.waits_s, 95) <= QUIET.policy.target_s + slowest_start_s
    assert result.work_s == pytest.approx(result.audio_s, rel=0.01)


def test_a_day_without_files_costs_nothing() -> None:
    result = simulate(Day(jobs_an_hour=0, bursts=()))
    assert (result.jobs, result.starts, result.cost) == (0, 0, 0)


def test_one_file_needs_one_machine() -> None:
    class OneFile(Day):
        def arrivals(self) -> list[Arrival]:
            return [Arrival(36_000, 600, 7_200_000)]

    result = simulate(OneFile(troubles=NO_TROUBLE))
    nothing_is_lost(result)
    assert (result.starts, result.most_machines) == (1, 1)
    assert result.machine_s < 300 + 600 / 35 + QUIET.policy.idle_exit_s + 60 + 120


def test_the_same_day_always_gives_the_same() -> None:
    day = replace(QUIET, jobs_an_hour=1, bursts=((9.0, 10),))
    assert simulate(day) == simulate(day)


def test_it_prints_the_day(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Day, "arrivals", lambda _: [Arrival(36_000, 600, 7_200_000)])
    assert main(["--jobs", "1", "--limit", "3"]) == 0
    assert "upload to transcript, p95" in capsys.readouterr().out
