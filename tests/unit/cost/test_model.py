"""The arithmetic of `make cost`: against cases done by hand, a simulation, and its shape."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperdrop_cost.figures import Figures, load
from whisperdrop_cost.model import (
    DAY_S,
    HOUR_S,
    break_even_audio_h,
    gpu_always,
    gpu_at_once,
    gpu_at_random,
    gpu_usd_per_h,
    idle_usd_per_day,
    lambda_day,
    lambda_speed_x,
    requests_usd,
    waiting_at_random_s,
    working_s,
)

FIGURES = load()
PLAIN = FIGURES.with_yours(
    # A machine for a dollar an hour that starts, waits and goes in 100 s each, and nothing else.
    dict.fromkeys(
        [
            *(
                "managed_instances.fee_share",
                "volume.gb",
                "ipv4",
                "s3.put",
                "s3.get",
                "s3.gb_month",
            ),
            *("sqs.request", "http_api.request", "lambda.request", "lambda.gb_second", "logs.gb"),
            *("alarm", "secret"),
        ],
        0.0,
    )
    | {"g5.xlarge": 1.0, "gpu.start_s": 100, "gpu.idle_exit_s": 100, "gpu.release_s": 100}
    | {"gpu.fill.alone": 1.0, "gpu.fill.backlog": 1.0}
)

speeds = st.floats(5, 500)
volumes = st.floats(1, 20_000)


def test_an_hour_at_forty_times_real_time_takes_a_machine_ninety_seconds() -> None:
    assert working_s(HOUR_S, 40, 1.0) == 90
    assert working_s(HOUR_S, 40, 0.5) == 180


def test_a_batch_costs_its_work_and_one_wake_up() -> None:
    # 10 h at 40x are 900 s; 300 s more for the wake-up: 1,200 s at a dollar an hour.
    day = gpu_at_once(PLAIN, "g5.xlarge", 40, files=60, minutes=10)

    assert day.audio_h == 10
    assert day.working_usd == pytest.approx(900 / 3600)
    assert day.waiting_usd == pytest.approx(300 / 3600)
    assert day.usd_per_audio_h == pytest.approx(1200 / 3600 / 10)
    assert day.working_share == pytest.approx(0.75)


def test_a_batch_that_must_be_done_soon_wakes_as_many_workers_as_that_takes() -> None:
    # 1,000 h at 40x are 25 machine hours: four workers for eight hours, four wake-ups.
    day = gpu_at_once(PLAIN, "g5.xlarge", 40, files=6000, minutes=10, within_h=8)

    assert day.working_usd == pytest.approx(25)
    assert day.waiting_usd == pytest.approx(4 * 300 / 3600)


def test_one_file_for_each_wake_up_costs_about_91_cents_for_an_hour_of_audio() -> None:
    # Of one ten-minute file a day, machines alone: 496.7 s of an A10G for a sixth of an hour.
    day = gpu_at_random(FIGURES, "g5.xlarge", 40, files=1, minutes=10)
    by_hand = (120 + 300 + 60 + 600 / (40 * 0.9)) / 3600 * gpu_usd_per_h(FIGURES, "g5.xlarge")

    machines = (day.working_usd + day.waiting_usd) / day.audio_h
    assert machines == pytest.approx(by_hand * 6, rel=0.01)  # once in a while two come together
    assert machines == pytest.approx(0.91, abs=0.05)


def test_spot_takes_nothing_off_the_fee() -> None:
    fee = 1.006 * 0.121
    rest = 0.08 * 100 / 730 + 0.005

    assert gpu_usd_per_h(FIGURES, "g5.xlarge") == pytest.approx(1.006 + fee + rest)
    spot = gpu_usd_per_h(FIGURES, "g5.xlarge", spot=True)
    assert spot == pytest.approx(1.006 * 0.7 + fee + rest)


def test_a_worker_that_never_sleeps_costs_its_day_whatever_it_does() -> None:
    day = gpu_always(PLAIN, "g5.xlarge", 40, utilisation=0.6, minutes=10)

    assert day.usd == pytest.approx(24)
    assert day.audio_h == pytest.approx(24 * 0.6 * 40)
    assert day.usd_per_audio_h == pytest.approx(1 / (0.6 * 40))


def test_the_function_costs_its_gigabyte_seconds() -> None:
    # 1.7 vCPU of 2: 38x becomes 32.3x, so an hour takes 111.4 s of 2.9375 GB.
    speed_x = lambda_speed_x(FIGURES, 38.0)
    day = lambda_day(FIGURES, speed_x, files=6, minutes=10, cold=0)

    assert speed_x == pytest.approx(38.0 * 3008 / 1769 / 2)
    by_hand = 3600 / speed_x * 3008 / 1024 * 0.0000166667 + 6 * 0.0000002
    assert day.working_usd == pytest.approx(by_hand)
    assert day.waiting_usd == 0


def test_requests_of_a_ten_minute_file_by_hand() -> None:
    by_hand = (
        (10 + 150 / 6 + 0.2 * 15) * 0.000005  # 38 writes
        + (14 + 15) * 0.0000004
        + 0.06 / 6 * 0.023  # 10 MB for a month
        + 8 * 0.0000004
        + 6 * (0.000001 + 0.0000002)
        + 1.0 * 0.0000166667
        + 20e-6 * 0.5
    )

    assert requests_usd(FIGURES, files=1, audio_s=600, machine_s=15) == pytest.approx(by_hand)


def test_an_unused_stack_costs_a_few_dollars_a_month() -> None:
    by_hand = 25 * 0.1 + 0.4 + 25_920 * 0.0000166667 + 2e6 * 0.0000004

    assert idle_usd_per_day(FIGURES) * 30 == pytest.approx(by_hand)


@pytest.mark.parametrize("files", [1, 20, 100, 400, 2000, 4500])
def test_wake_ups_and_waits_are_those_of_a_simulated_year(files: int) -> None:
    start_s, idle_exit_s, release_s, work_s = 180.0, 120.0, 180.0, 17.0
    chance = random.Random(files)  # noqa: S311 - not a secret
    days = max(60, 60_000 // files)
    free_at, wake_ups, waited_s = -1e9, 0, 0.0
    now = 0.0
    while (now := now + chance.expovariate(files / DAY_S)) < days * DAY_S:
        if now > free_at + idle_exit_s:  # it sleeps, or has never been awake
            wake_ups += 1
            waited_s += start_s + idle_exit_s + release_s
            free_at = now + start_s + work_s
        else:
            waited_s += max(0.0, now - free_at)
            free_at = max(now, free_at) + work_s

    expected_wake_ups, expected_s = waiting_at_random_s(
        files, work_s, start_s=start_s, idle_exit_s=idle_exit_s, release_s=release_s
    )

    assert wake_ups / days == pytest.approx(expected_wake_ups, rel=0.06, abs=0.3)
    assert waited_s / days == pytest.approx(expected_s, rel=0.06)


@given(volumes, volumes, speeds)
def test_a_larger_batch_never_costs_more_for_an_hour(a: float, b: float, speed_x: float) -> None:
    few, many = sorted((a, b))
    small = gpu_at_once(FIGURES, "g5.xlarge", speed_x, files=few, minutes=10, within_h=1e9)
    large = gpu_at_once(FIGURES, "g5.xlarge", speed_x, files=many, minutes=10, within_h=1e9)

    assert large.usd_per_audio_h <= small.usd_per_audio_h * (1 + 1e-9)
    assert large.usd >= small.usd * (1 - 1e-9)


@given(speeds, speeds, volumes)
def test_a_faster_or_cheaper_machine_never_costs_more(a: float, b: float, files: float) -> None:
    slow, fast = sorted((a, b))
    cheap = FIGURES.with_yours({"g5.xlarge": 0.5})

    def usd(figures: Figures, speed_x: float) -> float:
        return gpu_at_once(figures, "g5.xlarge", speed_x, files=files, minutes=10).usd

    assert usd(FIGURES, fast) <= usd(FIGURES, slow) * (1 + 1e-9)
    assert usd(cheap, slow) < usd(FIGURES, slow)


@given(st.floats(1, 4000), st.floats(1, 600), st.floats(1, 600))
def test_who_waits_longer_wakes_more_rarely(files: float, a: float, b: float) -> None:
    short, long = sorted((a, b))

    def wake_ups(idle_exit_s: float) -> float:
        return waiting_at_random_s(files, 15, start_s=100, idle_exit_s=idle_exit_s, release_s=100)[
            0
        ]

    assert wake_ups(long) <= wake_ups(short) * (1 + 1e-9)


@given(volumes, speeds)
def test_no_machine_is_billed_for_more_than_its_day(files: float, speed_x: float) -> None:
    day = gpu_at_random(PLAIN, "g5.xlarge", speed_x, files=files, minutes=10)
    workers = max(1, round(day.working_usd / 0.9 / 24 + 0.5))

    assert day.working_usd + day.waiting_usd <= 24 * workers * (1 + 1e-9)


def test_the_break_even_is_where_a_day_costs_the_same() -> None:
    hours = break_even_audio_h(FIGURES, "g5.xlarge", 40, 0.36, minutes=10)

    assert hours is not None
    day = gpu_at_once(FIGURES, "g5.xlarge", 40, files=hours * 6, minutes=10)
    assert day.usd_per_audio_h == pytest.approx(0.36)


def test_there_is_no_break_even_with_a_service_below_the_cost_of_the_work() -> None:
    assert break_even_audio_h(FIGURES, "g5.xlarge", 5, 0.04, minutes=10) is None
