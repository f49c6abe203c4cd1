from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bench.fanout import Fleet, efficiency, shared_s, span_ends, study
from whisperdrop_worker import plan

HOURS = 3600.0
SLOW = Fleet(workers=16, speed=1.0, detector=1000)


def test_one_worker_of_a_fleet_takes_what_one_worker_takes() -> None:
    speedup, share = efficiency(replace(SLOW, workers=1), 10 * HOURS)
    assert 0.95 < speedup == share <= 1.0


def test_no_fleet_is_faster_than_linear() -> None:
    for speed in (1.0, 5.0, 50.0):
        fleet = replace(SLOW, workers=64, speed=speed)
        for seed in range(5):
            taken_s = shared_s(fleet, 10 * HOURS, seed)
            assert taken_s > 10 * HOURS / (fleet.workers * fleet.speed) * (1 - fleet.jitter)
            assert taken_s > 10 * HOURS / (fleet.detector * fleet.workers)


def test_slow_workers_share_a_long_recording_well() -> None:
    assert efficiency(SLOW, 10 * HOURS)[1] > 0.8


def test_a_short_recording_is_not_worth_many_workers() -> None:
    assert efficiency(SLOW, 0.5 * HOURS)[1] < efficiency(SLOW, 10 * HOURS)[1]


def test_what_has_to_be_decoded_costs_more() -> None:
    mp3 = replace(SLOW, decoding=400)
    assert shared_s(mp3, 10 * HOURS) > shared_s(SLOW, 10 * HOURS)


def test_what_has_to_be_decoded_is_bound_by_decoding_it_once() -> None:
    fast = replace(SLOW, workers=64, speed=50.0, decoding=400)
    assert shared_s(fast, 10 * HOURS) > 10 * HOURS / 400


def test_many_fast_workers_share_a_long_wav_well() -> None:
    named = Fleet(workers=64, speed=25.0, heard_s=0.0)
    assert efficiency(named, 10 * HOURS)[1] > 0.8


@given(st.integers(1, 400), st.integers(1, 10), st.integers(1, 70))
def test_spans_are_those_of_the_worker(chapters: int, most: int, workers: int) -> None:
    assert tuple(span_ends(chapters, most, workers)) == plan.span_ends(chapters, most, workers)


def test_the_tables_have_every_fleet() -> None:
    section = study(SLOW, [1, 10])
    assert len(section.data["hours"]) == 2
    assert [row["speed"] for row in section.data["speed"]] == [1, 25, 50]
    assert [row["workers"] for row in section.data["workers"]] == [1, 2, 4, 8, 16]
