from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from whisperdrop.domain.scaling import Backlog, Decision, FleetPolicy, Workers, decide

COUNTS = st.integers(0, 200)
BACKLOGS = st.builds(Backlog, st.floats(0, 1e9), COUNTS, COUNTS)
WORKERS = st.builds(Workers, COUNTS, COUNTS, COUNTS, COUNTS)
POLICIES = st.builds(
    FleetPolicy,
    limit=st.integers(0, 300),
    speed=st.floats(0.1, 500),
    target_s=st.floats(1, 86_400),
    start_s=st.floats(1, 3600),
)
POLICY = FleetPolicy(limit=10, speed=20, target_s=600, start_s=180)
NOBODY = Workers()


def decided(backlog: Backlog, workers: Workers = NOBODY, *, warm: bool = False) -> Decision:
    return decide(backlog, workers, POLICY, warm=warm)


@given(BACKLOGS, WORKERS, POLICIES, st.booleans())
def test_the_limit_is_kept_and_nobody_is_started_twice(
    backlog: Backlog, workers: Workers, policy: FleetPolicy, warm: bool
) -> None:
    decision = decide(backlog, workers, policy, warm=warm)
    assert decision.start >= 0
    assert 0 <= decision.wanted <= policy.limit
    assert decision.start == 0 or workers.places + decision.start <= policy.limit
    assert decision.start == 0 or workers.counted + decision.start <= decision.wanted
    # Once they are there, nobody else is asked for: a second wake-up changes nothing.
    after = replace(workers, starting=workers.starting + decision.start)
    assert decide(backlog, after, policy, warm=warm).start == 0


@given(BACKLOGS, BACKLOGS, WORKERS, POLICIES, st.booleans())
def test_more_work_never_means_fewer_workers(
    one: Backlog, other: Backlog, workers: Workers, policy: FleetPolicy, warm: bool
) -> None:
    more = Backlog(
        max(one.audio_s, other.audio_s),
        max(one.jobs, other.jobs),
        max(one.unknown, other.unknown),
    )
    small, large = (decide(b, workers, policy, warm=warm) for b in (one, more))
    assert large.wanted >= small.wanted
    assert large.start >= small.start


@given(st.floats(0, 1e9), WORKERS, POLICIES)
def test_nothing_that_waits_needs_nobody(
    audio_s: float, workers: Workers, policy: FleetPolicy
) -> None:
    decision = decide(Backlog(audio_s, 0, 0), workers, policy, warm=False)
    assert (decision.wanted, decision.start) == (0, 0)


@given(BACKLOGS, POLICIES)
def test_anything_that_waits_needs_somebody(backlog: Backlog, policy: FleetPolicy) -> None:
    decision = decide(backlog, NOBODY, policy, warm=False)
    assert (decision.start >= 1) == (backlog.parts > 0 and policy.limit > 0)


@given(BACKLOGS, WORKERS, POLICIES)
def test_warmth_adds_one_worker_where_there_is_none_and_nothing_else(
    backlog: Backlog, workers: Workers, policy: FleetPolicy
) -> None:
    cold, warm = (decide(backlog, workers, policy, warm=warm) for warm in (False, True))
    assert warm.wanted == max(cold.wanted, min(1, policy.limit))


@given(BACKLOGS, WORKERS, POLICIES, st.booleans())
def test_there_are_never_more_workers_than_pieces_of_work(
    backlog: Backlog, workers: Workers, policy: FleetPolicy, warm: bool
) -> None:
    assert decide(backlog, workers, policy, warm=warm).wanted <= max(backlog.parts, int(warm))


@given(BACKLOGS, POLICIES)
def test_who_is_wanted_is_enough_to_be_done_in_time(backlog: Backlog, policy: FleetPolicy) -> None:
    wanted = decide(backlog, NOBODY, policy, warm=False).wanted
    if wanted < min(policy.limit, backlog.parts):
        assert wanted * policy.useful_s * policy.speed >= backlog.audio_s * 0.999


def test_a_short_clip_starts_one_worker() -> None:
    assert decided(Backlog(5, 1)).start == 1


def test_ten_hours_in_many_files_are_shared_so_that_they_are_done_in_ten_minutes() -> None:
    # 36,000 s at 20x are 1,800 s of work; a new worker has 600 - 180 s for it.
    assert decided(Backlog(36_000, 60)).start == 5


def test_who_is_there_already_does_his_part() -> None:
    assert decided(Backlog(36_000, 60), Workers(running=2)).start == 2
    assert decided(Backlog(36_000, 60), Workers(running=1, starting=1)).start == 2
    assert decided(Backlog(36_000, 60), Workers(running=3)).start == 0


def test_one_long_file_is_one_workers_work() -> None:
    assert decided(Backlog(36_000, 1)).start == 1


def test_who_drains_takes_a_place_and_no_work() -> None:
    assert decided(Backlog(5, 1), Workers(draining=1)).start == 1
    assert decided(Backlog(5, 1), Workers(draining=10)).start == 0


def test_a_worker_that_does_not_come_is_replaced() -> None:
    assert decided(Backlog(5, 1), Workers(late=1)).start == 1


def test_the_reason_is_one_line_that_says_why_there_are_not_more() -> None:
    reason = decided(Backlog(1e6, 500), Workers(running=3, draining=1)).reason
    assert "\n" not in reason
    assert "the limit is 10" in reason
    assert "4 of 10 places are taken" in reason
    assert "nothing waits" in decided(Backlog()).reason
    assert "kept warm" in decided(Backlog(), warm=True).reason
