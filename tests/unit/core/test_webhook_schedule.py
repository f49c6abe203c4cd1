from datetime import timedelta

import pytest

from tests.clock import NOON
from whisperdrop.domain.webhook_schedule import (
    MAX_RETRY_AFTER_S,
    RetrySchedule,
    parse_retry_after,
)

SCHEDULE = RetrySchedule((5, 30, 300))


def wait_s(tries: int, retry_after_s: float | None = None, chance: float = 0.0) -> float | None:
    at = SCHEDULE.next_at(tries, NOON, retry_after_s=retry_after_s, chance=chance)
    return None if at is None else (at - NOON).total_seconds()


def test_waits_grow_and_end() -> None:
    assert [wait_s(tries) for tries in (1, 2, 3, 4, 5)] == [5, 30, 300, None, None]


def test_chance_makes_a_wait_a_little_longer() -> None:
    assert wait_s(3, chance=1.0) == pytest.approx(330)


@pytest.mark.parametrize(
    ("asked", "waited"), [(1, 30), (60, 60), (10**9, MAX_RETRY_AFTER_S), (0, 30)]
)
def test_the_target_can_ask_for_more_time_within_reason(asked: float, waited: float) -> None:
    assert wait_s(2, retry_after_s=asked) == waited


def test_a_target_that_asks_for_time_for_ever_is_given_up_too() -> None:
    assert wait_s(4, retry_after_s=10) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 0 ", 0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("9" * 30, None),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sun, 32 Mar 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(
    value: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(value, NOON) == seconds


def test_the_default_schedule_covers_a_day() -> None:
    from whisperdrop_notifier.settings import NotifierSettings

    waits = NotifierSettings.model_fields["webhook_retry_seconds"].default
    assert timedelta(days=1) < timedelta(seconds=sum(waits)) < timedelta(days=1.5)
