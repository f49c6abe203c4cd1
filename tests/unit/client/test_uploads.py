"""Sending media: PUT, form, and parts that are resumed."""

import json
import re
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.client.conftest import Call, a_job
from whisperdrop_client import (
    CreatedJob,
    InvalidValueError,
    SourceChangedError,
    StorageError,
    Whisperdrop,
)
from whisperdrop_client.decoding import decode

MEDIA = bytes(range(256)) * 41  # 10,496 bytes
PART = 1000


def created(**upload: Any) -> CreatedJob:
    fields = {"expires_at": "2030-01-01T13:00:00Z", "url": "http://bucket/key"} | upload
    return decode(CreatedJob, a_job(status="awaiting_upload", upload=fields))


class Bucket:
    """A server and its store; ``refusals`` are answers to the next requests for a part."""

    def __init__(self, size: int = len(MEDIA)) -> None:
        self.size = size
        self.parts: dict[int, bytes] = {}
        self.signed: list[int] = []
        self.refusals: dict[int, list[int]] = {}
        self.sent: list[int] = []
        self.completed: bytes | None = None
        self.forgets: int | None = None
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            if request.url.host == "bucket":
                assert "authorization" not in request.headers
                return self._put(request)
            return self._api(request)

    def _put(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["n"])
        body = request.read()
        assert len(body) == int(request.headers["content-length"])
        if refusals := self.refusals.get(number):
            return httpx.Response(refusals.pop(0), content=b"<Code>No</Code>")
        self.sent.append(number)
        self.parts[number] = body
        return httpx.Response(200)

    def _api(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/parts"):
            numbers = json.loads(request.content)["numbers"]
            self.signed += numbers
            parts = [
                {"number": n, "url": f"http://bucket/key?n={n}", "size": PART} for n in numbers
            ]
            return httpx.Response(200, json={"parts": parts})
        if path.endswith("/complete"):
            if self.forgets is not None:
                del self.parts[self.forgets]
                self.forgets = None
                return httpx.Response(409, json={"detail": "a part is missing", "code": "conflict"})
            self.completed = b"".join(self.parts[n] for n in sorted(self.parts))
            return httpx.Response(200, json=a_job(status="queued"))
        uploaded = [{"number": n, "size": len(part), "etag": "e"} for n, part in self.parts.items()]
        return httpx.Response(
            200,
            json={
                "method": "MULTIPART",
                "part_size": PART,
                "parts": -(-self.size // PART),
                "size": self.size,
                "uploaded": uploaded,
            },
        )


@pytest.fixture
def media(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(MEDIA)
    return path


def test_a_put_sends_the_file_its_headers_and_no_key(call: Call, media: Path) -> None:
    seen: list[httpx.Request] = []

    def store(request: httpx.Request) -> httpx.Response:
        request.read()
        seen.append(request)
        return httpx.Response(503 if len(seen) == 1 else 200)

    told: list[tuple[int, int]] = []
    job = created(method="PUT", headers={"If-None-Match": "*"})
    call(
        store,
        lambda client: client.jobs.upload(job, media, on_bytes=lambda *now: told.append(now)),
    )

    assert [request.content for request in seen] == [MEDIA, MEDIA]
    assert seen[1].headers["if-none-match"] == "*"
    assert seen[1].headers["content-length"] == str(len(MEDIA))
    assert "authorization" not in seen[1].headers
    assert told[-1] == (len(MEDIA), len(MEDIA))


def test_a_put_whose_bytes_are_there_has_arrived(call: Call, media: Path) -> None:
    job = created(method="PUT")
    assert (
        call(lambda _: httpx.Response(412), lambda client: client.jobs.upload(job, media)) is None
    )


def test_a_refused_put_says_what_the_store_said(call: Call, media: Path) -> None:
    def store(_: httpx.Request) -> httpx.Response:
        return httpx.Response(403, content=b"<Error><Code>AccessDenied</Code></Error>")

    with pytest.raises(StorageError, match="403 AccessDenied"):
        call(store, lambda client: client.jobs.upload(created(method="PUT"), media))


def test_a_form_has_the_fields_and_then_the_file(call: Call, media: Path) -> None:
    seen: list[httpx.Request] = []

    def store(request: httpx.Request) -> httpx.Response:
        request.read()
        seen.append(request)
        return httpx.Response(204)

    job = created(method="POST", fields={"key": "uploads/x", "Content-Type": "audio/wav"})
    call(store, lambda client: client.jobs.upload(job, media))

    kind = seen[0].headers["content-type"]
    boundary = re.fullmatch(r"multipart/form-data; boundary=(\w+)", kind)
    assert boundary
    pieces = seen[0].content.split(f"--{boundary[1]}".encode())
    assert b'name="key"\r\n\r\nuploads/x\r\n' in pieces[1]
    assert pieces[3].endswith(b"\r\n\r\n" + MEDIA + b"\r\n")
    assert pieces[4] == b"--\r\n"
    assert int(seen[0].headers["content-length"]) == len(seen[0].content)


def test_parts_make_the_file(call: Call, media: Path) -> None:
    bucket = Bucket()
    told: list[tuple[int, int]] = []

    call(
        bucket,
        lambda client: client.jobs.upload(
            created(method="MULTIPART"), media, on_bytes=lambda *now: told.append(now)
        ),
    )

    assert bucket.completed == MEDIA
    assert sorted(bucket.sent) == list(range(1, 12))
    assert told[-1] == (len(MEDIA), len(MEDIA))
    assert max(sent for sent, _ in told) == len(MEDIA)


def test_only_what_is_missing_is_sent_when_an_upload_is_resumed(call: Call, media: Path) -> None:
    bucket = Bucket()
    bucket.parts = {1: MEDIA[:PART], 2: b"half of it", 11: MEDIA[10 * PART :]}
    told: list[int] = []

    call(
        bucket,
        lambda client: client.jobs.resume_upload(
            "j1", media, on_bytes=lambda sent, _: told.append(sent)
        ),
    )

    assert bucket.completed == MEDIA
    assert sorted(bucket.sent) == list(range(2, 11))
    assert told[0] == PART + len(MEDIA) % PART
    assert told[-1] == len(MEDIA)


def test_a_part_that_fails_is_sent_again_alone(call: Call, media: Path) -> None:
    bucket = Bucket()
    bucket.refusals = {3: [500, 503], 7: [500]}
    told: list[int] = []

    call(
        bucket,
        lambda client: client.jobs.resume_upload(
            "j1", media, on_bytes=lambda sent, _: told.append(sent)
        ),
    )

    assert bucket.completed == MEDIA
    assert sorted(bucket.sent) == list(range(1, 12))
    assert told[-1] == len(MEDIA)


def test_an_address_that_is_too_old_is_signed_again(call: Call, media: Path) -> None:
    bucket = Bucket()
    bucket.refusals = {4: [403]}
    call(bucket, lambda client: client.jobs.resume_upload("j1", media))
    assert bucket.completed == MEDIA
    assert bucket.signed.count(4) == 2


def test_a_part_that_is_refused_ends_the_upload(call: Call, media: Path) -> None:
    bucket = Bucket()
    bucket.refusals = {2: [400]}
    with pytest.raises(StorageError, match="400 No"):
        call(bucket, lambda client: client.jobs.resume_upload("j1", media, parts_at_once=1))
    assert bucket.completed is None
    assert bucket.sent == [1]


def test_a_part_that_the_store_lost_is_sent_before_the_second_completion(
    call: Call, media: Path
) -> None:
    bucket = Bucket()
    bucket.forgets = 5
    call(bucket, lambda client: client.jobs.resume_upload("j1", media))
    assert bucket.completed == MEDIA
    assert bucket.sent.count(5) == 2


def test_another_file_than_the_one_that_was_begun_is_refused(call: Call, media: Path) -> None:
    with pytest.raises(SourceChangedError, match="was begun with 1"):
        call(Bucket(size=1), lambda client: client.jobs.resume_upload("j1", media))


def test_a_file_that_shrinks_meanwhile_is_an_error(call: Call, media: Path) -> None:
    def shrink(sent: int, total: int) -> None:
        media.write_bytes(b"")

    bucket = Bucket()
    with pytest.raises(SourceChangedError, match="became shorter"):
        call(
            bucket,
            lambda client: client.jobs.resume_upload("j1", media, on_bytes=shrink, parts_at_once=1),
        )


class Sink(httpx.BaseTransport):
    """Takes bodies piece by piece and keeps nothing."""

    def __init__(self, size: int) -> None:
        self.bucket = Bucket(size)
        self.taken = 0
        self.lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "bucket":
            request.read()
            self.bucket.parts = {}
            return self.bucket(request)
        assert isinstance(request.stream, httpx.SyncByteStream)
        for piece in request.stream:
            with self.lock:
                self.taken += len(piece)
        return httpx.Response(200)


def test_an_upload_takes_constant_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 256 * 1024**2
    monkeypatch.setattr("tests.unit.client.test_uploads.PART", size // 8)
    media = tmp_path / "large.wav"
    with media.open("wb") as file:
        file.truncate(size)
    sink = Sink(size)
    with Whisperdrop("http://server", "k", transport=sink) as client:
        tracemalloc.start()
        try:
            client.jobs.resume_upload("j1", media)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sink.taken == size
    assert peak < 16 * 1024**2


def test_an_upload_that_the_server_ends_says_so(call: Call, media: Path) -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        return httpx.Response(422, json={"detail": "it was cancelled", "code": "invalid_value"})

    with pytest.raises(InvalidValueError, match="it was cancelled"):
        call(gone, lambda client: client.jobs.resume_upload("j1", media))
