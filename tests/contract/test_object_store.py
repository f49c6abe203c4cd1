import io
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.contract.conftest import StoreUnderTest
from whisperdrop.errors import LostRaceError, MediaTooLargeError
from whisperdrop.service.proof import prove_conditional_writes

UNICODE_NAMES = [
    "имя файла ünï dev 日本.flac",
    "a+b 100%25 & co=?.mp3",
    "space at the end .mp3",
    "quotes \"'<>.mp3",
    "~!*()$@,;:[]{}|^`#.mp3",
]


def test_what_is_not_there_is_none(under_test: StoreUnderTest, tmp_path: Path) -> None:
    missing = under_test.key("missing")
    assert under_test.store.get(missing) is None
    assert under_test.store.head(missing) is None
    assert under_test.store.download(missing, tmp_path / "missing") is None
    assert list(under_test.store.list(missing)) == []


def test_deleting_what_is_not_there_is_no_error(under_test: StoreUnderTest) -> None:
    under_test.store.delete(under_test.key("missing"))


def test_what_was_put_is_got(under_test: StoreUnderTest) -> None:
    key = under_test.key("object")
    before = datetime.now(UTC) - timedelta(minutes=1)
    under_test.store.put(key, b"body", "audio/mpeg")
    found = under_test.store.get(key)
    info = under_test.store.head(key)
    assert found is not None
    assert info is not None
    assert found.body == b"body"
    assert (info.key, info.size, info.content_type) == (key, 4, "audio/mpeg")
    assert info.etag == found.etag
    assert info.modified.tzinfo is not None
    if under_test.name != "memory":
        assert before < info.modified < before + timedelta(minutes=3)


def test_a_put_replaces_whatever_is_there(under_test: StoreUnderTest) -> None:
    key = under_test.key("object")
    under_test.store.put(key, b"one")
    under_test.store.put(key, b"two")
    found = under_test.store.get(key)
    assert found is not None
    assert found.body == b"two"


def test_a_file_can_be_put(under_test: StoreUnderTest, tmp_path: Path) -> None:
    key = under_test.key("file")
    path = tmp_path / "file"
    path.write_bytes(b"a" * 100_000)
    with path.open("rb") as file:
        under_test.store.put(key, file, "audio/flac")
    info = under_test.store.head(key)
    assert info is not None
    assert info.size == 100_000
    under_test.store.put(key, io.BytesIO(b""), "audio/flac")
    info = under_test.store.head(key)
    assert info is not None
    assert info.size == 0


def test_a_deleted_object_is_gone(under_test: StoreUnderTest) -> None:
    key = under_test.key("object")
    under_test.store.put(key, b"body")
    under_test.store.delete(key)
    assert under_test.store.get(key) is None


def test_an_object_is_created_once(under_test: StoreUnderTest) -> None:
    key = under_test.key("document")
    etag = under_test.store.create(key, b"first")
    with pytest.raises(LostRaceError):
        under_test.store.create(key, b"second")
    found = under_test.store.get(key)
    assert found is not None
    assert (found.body, found.etag) == (b"first", etag)


def test_a_deleted_object_can_be_created_again(under_test: StoreUnderTest) -> None:
    key = under_test.key("document")
    under_test.store.create(key, b"first")
    under_test.store.delete(key)
    under_test.store.create(key, b"second")


def test_a_fresh_etag_swaps_and_a_stale_one_loses(under_test: StoreUnderTest) -> None:
    key = under_test.key("document")
    first = under_test.store.create(key, b"first")
    second = under_test.store.replace(key, b"second", first)
    with pytest.raises(LostRaceError):
        under_test.store.replace(key, b"third", first)
    found = under_test.store.get(key)
    assert found is not None
    assert (found.body, found.etag) == (b"second", second)
    under_test.store.replace(key, b"third", found.etag)


def test_an_etag_that_was_read_swaps(under_test: StoreUnderTest) -> None:
    key = under_test.key("document")
    under_test.store.put(key, b"first")
    info = under_test.store.head(key)
    assert info is not None
    under_test.store.replace(key, b"second", info.etag)


def test_a_swap_of_what_was_deleted_loses(under_test: StoreUnderTest) -> None:
    key = under_test.key("document")
    etag = under_test.store.create(key, b"first")
    under_test.store.delete(key)
    with pytest.raises(LostRaceError):
        under_test.store.replace(key, b"second", etag)
    assert under_test.store.get(key) is None


def test_documents_are_json_unless_said_otherwise(under_test: StoreUnderTest) -> None:
    key = under_test.key("document")
    etag = under_test.store.create(key, b"{}")
    assert under_test.store.head(key).content_type == "application/json"  # type: ignore[union-attr]
    under_test.store.replace(key, b"{ }", etag)
    assert under_test.store.head(key).content_type == "application/json"  # type: ignore[union-attr]


def test_the_store_proves_its_conditional_writes(under_test: StoreUnderTest) -> None:
    prove_conditional_writes(under_test.store)
    assert list(under_test.store.list("proof/")) == []


def no_races_on_moto(under_test: StoreUnderTest) -> None:
    if under_test.name == "moto":
        pytest.skip("moto looks at the condition and writes in two steps")


def test_of_many_that_create_at_once_one_wins(under_test: StoreUnderTest) -> None:
    no_races_on_moto(under_test)
    key = under_test.key("contended")
    winners: list[int] = []
    losers: list[int] = []
    start = threading.Barrier(8)

    def create(number: int) -> None:
        start.wait()
        try:
            under_test.store.create(key, str(number).encode())
            winners.append(number)
        except LostRaceError:
            losers.append(number)

    run_threads(create)
    assert (len(winners), len(losers)) == (1, 7)
    found = under_test.store.get(key)
    assert found is not None
    assert found.body == str(winners[0]).encode()


def test_of_contended_swaps_none_is_lost(under_test: StoreUnderTest) -> None:
    no_races_on_moto(under_test)
    key = under_test.key("counter")
    under_test.store.create(key, b"0")

    def increment(_: int) -> None:
        done = 0
        while done < 10:
            found = under_test.store.get(key)
            assert found is not None
            try:
                under_test.store.replace(key, str(int(found.body) + 1).encode(), found.etag)
            except LostRaceError:
                continue
            done += 1

    run_threads(increment)
    found = under_test.store.get(key)
    assert found is not None
    assert found.body == b"80"


def run_threads(target: object) -> None:
    errors: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            target(number)  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 – shown below, in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_listing_is_in_key_order_and_ends_with_its_prefix(under_test: StoreUnderTest) -> None:
    names = ["b/2", "b/10", "b/1", "a", "bb", "b", "B/1", "b/é", "b/日"]
    for name in names:
        under_test.store.put(under_test.key(name), name.encode())
    listed = list(under_test.store.list(under_test.key("b/")))
    assert [info.key for info in listed] == [
        under_test.key(name) for name in ("b/1", "b/10", "b/2", "b/é", "b/日")
    ]
    assert [info.size for info in listed] == [3, 4, 3, 4, 5]
    assert len(list(under_test.store.list(under_test.prefix))) == len(names)


def test_a_listing_agrees_with_the_object(under_test: StoreUnderTest) -> None:
    # The id of a bucket drop is made from either.
    key = under_test.key("object")
    under_test.store.put(key, b"body")
    (listed,) = under_test.store.list(key)
    info = under_test.store.head(key)
    assert info is not None
    assert listed.etag.strip('"') == info.etag.strip('"')
    assert listed.modified.replace(microsecond=0) == info.modified.replace(microsecond=0)


def test_a_listing_goes_past_its_first_page(under_test: StoreUnderTest) -> None:
    if under_test.name not in {"memory", "moto"}:
        pytest.skip("a thousand objects are too many for a store behind a socket")
    for number in range(1005):
        under_test.store.put(under_test.key(f"{number:04}"), b"")
    listed = [info.key for info in under_test.store.list(under_test.prefix)]
    assert len(listed) == 1005
    assert listed == sorted(listed)


@pytest.mark.parametrize("name", UNICODE_NAMES)
def test_every_letter_may_stand_in_a_key(
    name: str, under_test: StoreUnderTest, tmp_path: Path
) -> None:
    key = under_test.key(name)
    under_test.store.put(key, b"body")
    assert [info.key for info in under_test.store.list(under_test.prefix)] == [key]
    info = under_test.store.head(key)
    assert info is not None
    assert info.key == key
    assert under_test.store.download(key, tmp_path / "x") == 4
    under_test.store.delete(key)
    assert under_test.store.get(key) is None


def test_a_download_is_the_object(under_test: StoreUnderTest, tmp_path: Path) -> None:
    key = under_test.key("object")
    body = bytes(range(256)) * 12_000  # three blocks
    under_test.store.put(key, body)
    path = tmp_path / "object"
    assert under_test.store.download(key, path, max_bytes=len(body)) == len(body)
    assert path.read_bytes() == body


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, 1, b"0"),
        (0, 10, b"0123456789"),
        (3, 4, b"3456"),
        (9, 1, b"9"),
        (7, 100, b"789"),
        (10, 1, b""),
        (99, 5, b""),
    ],
)
def test_a_range_is_read_as_far_as_the_object_goes(
    start: int, length: int, expected: bytes, under_test: StoreUnderTest
) -> None:
    key = under_test.key("object")
    under_test.store.put(key, b"0123456789")
    assert under_test.store.read_range(key, start, length) == expected


def test_a_range_of_an_empty_object_or_of_none(under_test: StoreUnderTest) -> None:
    key = under_test.key("object")
    assert under_test.store.read_range(key, 0, 5) is None
    under_test.store.put(key, b"")
    assert under_test.store.read_range(key, 0, 5) == b""


def test_a_download_of_too_many_bytes_is_refused_before_it_begins(
    under_test: StoreUnderTest, tmp_path: Path
) -> None:
    key = under_test.key("object")
    under_test.store.put(key, b"body")
    with pytest.raises(MediaTooLargeError):
        under_test.store.download(key, tmp_path / "object", max_bytes=3)
    assert not (tmp_path / "object").exists()
    assert under_test.store.get(key) is not None


def test_metadata_is_read_with_the_object(under_test: StoreUnderTest) -> None:
    key = under_test.key("object")
    under_test.put_with_metadata(key, {"whisperdrop-language": "de"})
    info = under_test.store.head(key)
    assert info is not None
    assert info.metadata == {"whisperdrop-language": "de"}


def test_metadata_is_written_with_the_object(under_test: StoreUnderTest) -> None:
    store, said = under_test.store, {"correlation-id": "request-1"}
    whole, parted = under_test.key("whole"), under_test.key("parted")
    store.put(whole, b"body", "audio/mpeg", said)
    upload_id = store.create_multipart(parted, "audio/mpeg", said)
    under_test.put_part(parted, upload_id, 1, b"body")
    parts = store.list_multipart(parted, upload_id)
    assert parts is not None
    assert store.complete_multipart(parted, upload_id, parts)
    for key in (whole, parted):
        info = store.head(key)
        assert info is not None
        assert (info.metadata, info.content_type) == (said, "audio/mpeg")
    store.put(whole, b"body")
    info = store.head(whole)
    assert info is not None
    assert info.metadata == {}


def test_folders_come_in_order_and_each_once(under_test: StoreUnderTest) -> None:
    for name in ("c/1", "a/1", "a/2/3", "b/x", "b/y", "plain", "a0/1", "a-/1"):
        under_test.store.put(under_test.key(name), b"")
    found = under_test.store.list_folders(under_test.prefix)
    assert (found.names, found.more) == (("a-", "a", "a0", "b", "c"), False)


def test_a_page_of_folders_goes_on_after_the_last_one(under_test: StoreUnderTest) -> None:
    names = [f"{number:03}" for number in range(25)]
    for name in names:
        for document in ("request.json", "outcome.json"):
            under_test.store.put(under_test.key(f"{name}/{document}"), b"")
    seen: list[str] = []
    pages = 0
    more = True
    while more:
        after = seen[-1] if seen else ""
        page = under_test.store.list_folders(under_test.prefix, after=after, limit=10)
        seen += page.names
        more = page.more
        pages += 1
    assert (seen, pages) == (names, 3)


def test_folders_after_one_that_is_not_there(under_test: StoreUnderTest) -> None:
    for name in ("a/1", "c/1"):
        under_test.store.put(under_test.key(name), b"")
    assert under_test.store.list_folders(under_test.prefix, after="b").names == ("c",)
    assert under_test.store.list_folders(under_test.prefix, after="c").names == ()
    assert under_test.store.list_folders(under_test.key("none/")).names == ()


def test_an_upload_in_parts_is_seen_when_it_is_completed(under_test: StoreUnderTest) -> None:
    store, key = under_test.store, under_test.key("speech é.mp3")
    upload_id = store.create_multipart(key, "audio/mpeg")
    assert store.list_multipart(key, upload_id) == ()
    bodies = {2: b"end", 1: b"a" * 5 * 1024**2}  # all but the last have 5 MiB, or S3 refuses
    for number, body in bodies.items():
        under_test.put_part(key, upload_id, number, b"first try")
        under_test.put_part(key, upload_id, number, body)
    parts = store.list_multipart(key, upload_id)
    assert parts is not None
    assert [(part.number, part.size) for part in parts] == [(1, 5 * 1024**2), (2, 3)]
    assert store.head(key) is None
    assert store.complete_multipart(key, upload_id, parts)
    found, info = store.get(key), store.head(key)
    assert found is not None
    assert info is not None
    assert found.body == bodies[1] + bodies[2]
    assert info.content_type == "audio/mpeg"
    assert store.list_multipart(key, upload_id) is None


def test_an_aborted_upload_is_gone(under_test: StoreUnderTest) -> None:
    store, key = under_test.store, under_test.key("speech.mp3")
    upload_id = store.create_multipart(key, "audio/mpeg")
    under_test.put_part(key, upload_id, 1, b"audio")
    parts = store.list_multipart(key, upload_id)
    assert parts is not None
    store.abort_multipart(key, upload_id)
    store.abort_multipart(key, upload_id)
    assert store.list_multipart(key, upload_id) is None
    if under_test.name != "moto":  # it falls over its own KeyError
        assert not store.complete_multipart(key, upload_id, parts)
    assert store.head(key) is None
    assert list(store.list(under_test.prefix)) == []
