from dataclasses import replace

from bench.fanout import Fleet, efficiency, shared_s, study

HOURS = 3600.0
SLOW = Fleet(workers=16, speed=1.0, front_end=1000)


def test_one_worker_of_a_fleet_takes_what_one_worker_takes() -> None:
    speedup, share = efficiency(replace(SLOW, workers=1), 10 * HOURS)
    assert 0.95 < speedup == share <= 1.0


def test_no_fleet_is_faster_than_linear_or_than_its_front_end() -> None:
    for speed in (1.0, 5.0, 50.0):
        fleet = replace(SLOW, workers=64, speed=speed)
        for seed in range(5):
            taken_s = shared_s(fleet, 10 * HOURS, seed)
            assert taken_s > 10 * HOURS / (fleet.workers * fleet.speed) * (1 - fleet.jitter)
            assert taken_s > 10 * HOURS / fleet.front_end


def test_slow_workers_share_a_long_recording_well() -> None:
    assert efficiency(SLOW, 10 * HOURS)[1] > 0.8


def test_a_short_recording_is_not_worth_many_workers() -> None:
    assert efficiency(SLOW, 0.5 * HOURS)[1] < efficiency(SLOW, 10 * HOURS)[1]


def test_what_has_to_be_decoded_costs_more() -> None:
    mp3 = replace(SLOW, decoding=400)
    assert shared_s(mp3, 10 * HOURS) > shared_s(SLOW, 10 * HOURS)


def test_the_tables_say_where_the_limit_is() -> None:
    section = study(SLOW, [1, 10])
    assert "never above 0.98 of linear" in str(section)
    assert len(section.data["by_length"]) == 2
