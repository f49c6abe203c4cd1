from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.clock import NOON
from whisperdrop.domain.ids import JobRef, is_job_id, is_tenant, job_id_of_drop, new_job_id

moments = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001 – the strategy adds the zone
    datetime(2120, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
GOOD_ID = new_job_id(NOON)


@given(moments, moments)
def test_ids_sort_newest_first(one: datetime, other: datetime) -> None:
    older, newer = sorted((one, other))
    assume(newer - older >= timedelta(milliseconds=1))
    assert new_job_id(newer) < new_job_id(older)


@given(moments, st.integers(0, 36**16 - 1))
def test_an_id_is_of_digits_and_lower_case_letters_whatever_the_chance(
    moment: datetime, chance: int
) -> None:
    job_id = new_job_id(moment, lambda _: chance)
    assert is_job_id(job_id)
    assert set(job_id) <= set("0123456789abcdefghijklmnopqrstuvwxyz")


def test_ids_of_one_moment_differ_by_82_bits_of_chance() -> None:
    bounds: list[int] = []

    def largest(bound: int) -> int:
        bounds.append(bound)
        return bound - 1

    assert new_job_id(NOON, largest).endswith("z" * 16)
    assert bounds == [36**16]
    assert len({new_job_id(NOON) for _ in range(100)}) == 100


def test_an_id_says_the_same_moment_in_every_time_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert new_job_id(elsewhere, lambda _: 7) == new_job_id(NOON, lambda _: 7)


def test_the_same_version_of_a_drop_always_gives_the_same_id() -> None:
    first = job_id_of_drop("media", "inbox/acme/a.mp3", '"abc"', NOON)
    assert is_job_id(first)
    assert job_id_of_drop("media", "inbox/acme/a.mp3", '"abc"', NOON) == first


def test_quotes_around_an_etag_and_fractions_of_a_second_change_nothing() -> None:
    first = job_id_of_drop("media", "inbox/acme/a.mp3", '"abc"', NOON)
    assert job_id_of_drop("media", "inbox/acme/a.mp3", "abc", NOON) == first
    later = NOON + timedelta(milliseconds=999)
    assert job_id_of_drop("media", "inbox/acme/a.mp3", '"abc"', later) == first


@pytest.mark.parametrize(
    ("bucket", "key", "etag", "modified"),
    [
        ("other", "inbox/acme/a.mp3", "abc", NOON),
        ("media", "inbox/acme/b.mp3", "abc", NOON),
        ("media", "inbox/acme/a.mp3", "abd", NOON),
        ("media", "inbox/acme/a.mp3", "abc", NOON + timedelta(seconds=1)),
    ],
)
def test_a_drop_of_another_bucket_key_content_or_time_is_another_job(
    bucket: str, key: str, etag: str, modified: datetime
) -> None:
    first = job_id_of_drop("media", "inbox/acme/a.mp3", "abc", NOON)
    assert job_id_of_drop(bucket, key, etag, modified) != first


def test_ids_of_drops_sort_among_the_others() -> None:
    drop = job_id_of_drop("media", "inbox/acme/a.mp3", "abc", NOON)
    before = new_job_id(NOON - timedelta(seconds=1))
    after = new_job_id(NOON + timedelta(seconds=1))
    assert after < drop < before


@pytest.mark.parametrize("tenant", ["a", "acme", "acme-2", "0", "a" * 63])
def test_a_good_tenant_is_taken(tenant: str) -> None:
    assert is_tenant(tenant)
    assert JobRef(tenant, GOOD_ID).tenant == tenant


@pytest.mark.parametrize(
    "tenant",
    ["", "-a", "A", "a_b", "a/b", "..", "a b", "a" * 64, "é", "acme\n", "acme\0", "٣"],
)
def test_a_malformed_tenant_is_refused(tenant: str) -> None:
    assert not is_tenant(tenant)
    with pytest.raises(ValueError, match="not a tenant"):
        JobRef(tenant, GOOD_ID)


@pytest.mark.parametrize(
    "job_id",
    ["", "abc", GOOD_ID.upper(), GOOD_ID + "0", GOOD_ID[:-1], "../" + GOOD_ID[3:], GOOD_ID + "\n"],
)
def test_a_malformed_job_id_is_refused(job_id: str) -> None:
    assert not is_job_id(job_id)
    with pytest.raises(ValueError, match="not a job id"):
        JobRef("acme", job_id)
