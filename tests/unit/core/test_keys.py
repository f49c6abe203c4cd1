import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import a_ref
from tests.clock import NOON
from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.keys import Drop, parse_media_key, parse_pending_key

REF = a_ref()
tenants = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
refs = tenants.map(a_ref)
names = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)


@given(refs, names)
def test_the_key_of_an_upload_leads_back_to_its_job(ref: JobRef, name: str) -> None:
    assert parse_media_key(keys.upload(ref, name)) == ref


@given(tenants, st.lists(names, min_size=1, max_size=4))
def test_the_key_of_a_drop_leads_back_to_its_tenant(tenant: str, path: list[str]) -> None:
    key = f"inbox/{tenant}/{'/'.join(path)}"
    assert parse_media_key(key) == Drop(tenant, key)


@given(refs)
def test_a_pending_marker_leads_back_to_its_job(ref: JobRef) -> None:
    assert parse_pending_key(keys.pending(ref)) == ref


@given(refs)
def test_no_document_of_a_job_is_taken_for_media(ref: JobRef) -> None:
    documents = [
        keys.request(ref),
        keys.lease(ref),
        keys.cancel(ref),
        keys.part(ref, 0),
        keys.plan(ref),
        keys.span(ref, 0),
        keys.outcome(ref),
        keys.transcript(ref),
        keys.pending(ref),
        keys.usage(ref, NOON, 1),
        keys.outbox(f"inbox/{ref.tenant}/a.mp3", "json"),
    ]
    assert len(set(documents)) == len(documents)
    assert [key for key in documents if parse_media_key(key) is not None] == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "uploads",
        "uploads/acme",
        f"uploads/acme/{REF.job_id}",
        f"uploads/acme/{REF.job_id}/",
        f"uploads/acme/{REF.job_id}/a/b.mp3",
        f"/uploads/acme/{REF.job_id}/a.mp3",
        f"uploads//{REF.job_id}/a.mp3",
        f"uploads/../{REF.job_id}/a.mp3",
        f"uploads/ACME/{REF.job_id}/a.mp3",
        f"uploads/acme\n/{REF.job_id}/a.mp3",
        f"uploads/acme/{REF.job_id}\n/a.mp3",
        "uploads/acme/not-an-id/a.mp3",
        "inbox",
        "inbox/",
        "inbox/acme",
        "inbox/acme/",
        "inbox/acme/folder/",
        "inbox/../a.mp3",
        "inbox/acme\n/a.mp3",
        "outbox/acme/a.mp3",
        "Inbox/acme/a.mp3",
    ],
)
def test_a_foreign_or_hostile_key_is_nothing_of_ours(key: str) -> None:
    assert parse_media_key(key) is None


@pytest.mark.parametrize(
    "key",
    ["pending/acme", f"pending/acme/{REF.job_id}/x", "pending/acme/x", f"pending//{REF.job_id}"],
)
def test_a_foreign_marker_stands_for_no_job(key: str) -> None:
    assert parse_pending_key(key) is None


@given(st.text())
def test_any_text_can_be_parsed(key: str) -> None:
    assert parse_media_key(key) is None
    assert parse_pending_key(key) is None


def test_renderings_of_drops_with_one_stem_do_not_collide() -> None:
    assert keys.outbox("inbox/acme/x/a.mp3", "json") == "outbox/acme/x/a.mp3.json"
    assert keys.outbox("inbox/acme/x/a.wav", "json") == "outbox/acme/x/a.wav.json"


def test_usage_is_filed_by_month_with_its_milliseconds_in_the_key() -> None:
    assert keys.usage(REF, NOON, 61250) == f"usage/acme/2026-03/{REF.job_id}-61250.json"


@pytest.mark.parametrize("letter", ["x", "日"])
def test_a_drop_whose_name_leaves_no_room_for_its_rendering_is_passed_over(letter: str) -> None:
    # S3 keys end at 1,024 bytes; without room under outbox/ not even an error could be written.
    fitting = "inbox/acme/a.mp3"
    while (
        len(
            keys.outbox(longer := fitting.replace("a.mp3", f"{letter}a.mp3"), "error.json").encode()
        )
        <= 1024
    ):
        fitting = longer
    assert parse_media_key(fitting) == Drop("acme", fitting)
    assert parse_media_key(longer) is None
