"""OpenAI's audio routes over a bucket in memory; the test is the worker."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.builders import BUCKET, a_transcript, an_outcome, keys_in
from tests.clock import ManualClock
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryJobQueue, MemoryObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.events import parse_event
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobFailure, JobRequest, JobStatus
from whisperdrop.domain.transcript import Segment, TokenLogprob, Transcript, Word
from whisperdrop.service.cancellation import cancel
from whisperdrop.service.documents import read
from whisperdrop.service.settlement import settle
from whisperdrop_api.app import create_app
from whisperdrop_api.composition import Services
from whisperdrop_api.routes.openai.errors import is_ours
from whisperdrop_api.routes.openai.slots import Slot
from whisperdrop_api.routes.openai.streaming import Deltas

TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
TEXT = "Hello there. General Kenobi."

Response = Any
"""Of httpx or of its successor, whichever Starlette finds."""


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def queue(clock: ManualClock) -> MemoryJobQueue:
    return MemoryJobQueue(clock)


@pytest.fixture
def services(store: MemoryObjectStore, clock: ManualClock, queue: MemoryJobQueue) -> Services:
    return services_over(
        store, clock, queue, whisper_models="tiny.en,base", sync_wait_seconds=0, max_sync_bytes=5000
    )


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    bearer = {"Authorization": f"Bearer {services.api_keys.issue('acme', 'test')}"}
    with TestClient(create_app(services), headers=bearer) as client:
        yield client


def send(
    client: TestClient,
    path: str = TRANSCRIPTIONS,
    *,
    file: Any = ("speech.wav", WAV),
    headers: Any = None,
    **fields: Any,
) -> Response:
    return client.post(
        path, files={"file": file}, data={"model": "whisper-1"} | fields, headers=headers
    )


def job_of(queue: MemoryJobQueue) -> JobRef:
    """The only job that was sent to the workers."""
    message = queue.receive(wait_s=0, visibility_s=0)
    assert message is not None
    assert len(queue) == 1
    [ref] = parse_event(message.body, bucket=BUCKET)
    assert isinstance(ref, JobRef)
    return ref


def finish(store: MemoryObjectStore, ref: JobRef, transcript: Transcript | None = None) -> None:
    settle(store, an_outcome(ref), transcript or a_transcript(ref))


def answered(
    client: TestClient, store: MemoryObjectStore, queue: MemoryJobQueue, **fields: Any
) -> Response:
    """The answer to a request whose job has ended with the usual text."""
    send(client, **fields)
    finish(store, job_of(queue))
    return send(client, **fields)


def error_of(answer: Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


def test_a_wait_that_is_over_asks_for_a_retry_that_finds_the_same_job(
    client: TestClient, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    first = send(client)
    error = error_of(first, 503)
    assert (error["code"], error["type"]) == ("try_again", "server_error")
    assert int(first.headers["Retry-After"]) > 0
    ref = job_of(queue)
    assert first.headers["x-whisperdrop-job"] == ref.job_id
    stored = keys_in(store)
    assert error_of(send(client), 503)["code"] == "try_again"
    assert keys_in(store) == stored

    finish(store, ref)
    done = send(client)

    assert done.status_code == 200
    assert done.json() == {"text": TEXT, "usage": {"type": "duration", "seconds": 62}}
    assert done.headers["x-whisperdrop-job"] == ref.job_id
    assert len(queue) == 1


def test_another_name_or_format_is_the_same_job_and_other_options_are_not(
    client: TestClient, queue: MemoryJobQueue
) -> None:
    first = send(client).headers["x-whisperdrop-job"]
    same = [
        send(client, file=("other.wav", WAV)),
        send(client, response_format="srt"),
        send(client, model="gpt-4o-transcribe"),
        send(client, path="/audio/transcriptions"),
    ]
    assert {answer.headers["x-whisperdrop-job"] for answer in same} == {first}
    other = [
        send(client, file=("speech.wav", WAV + b"more")),
        send(client, language="de"),
        send(client, model="base"),
        send(client, path=TRANSLATIONS),
    ]
    assert len({answer.headers["x-whisperdrop-job"] for answer in other} - {first}) == len(other)


@pytest.mark.parametrize("code", ["undecodable_media", "gave_up"])
def test_a_failed_job_does_not_stick(
    code: str, client: TestClient, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    first = send(client)
    ref = job_of(queue)
    failure = JobFailure(code=code, message="no")
    settle(store, an_outcome(ref, JobStatus.FAILED, error=failure))
    again = send(client)
    assert again.status_code == 503
    assert again.headers["x-whisperdrop-job"] != first.headers["x-whisperdrop-job"]
    assert len(queue) == 2


FAILURES = [
    ("undecodable_media", 400, "file"),
    ("no_audio_stream", 400, "file"),
    ("audio_too_long", 413, "file"),
    ("invalid_value", 400, None),
    ("cancelled", 400, None),
    ("model_unavailable", 503, None),
    ("gave_up", 500, None),
    ("invented_tomorrow", 500, None),
]


@pytest.mark.parametrize(("code", "status", "param"), FAILURES)
def test_a_job_that_fails_while_it_is_waited_for_has_a_status_that_the_sdk_knows(
    code: str,
    status: int,
    param: str | None,
    client: TestClient,
    services: Services,
    store: MemoryObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = services.jobs.create_with_media

    def fail(*args: Any, **kwargs: Any) -> JobRef:
        ref = sent(*args, **kwargs)
        failure = JobFailure(code=code, message="it did not work")
        settle(store, an_outcome(ref, JobStatus.FAILED, error=failure))
        return ref

    monkeypatch.setattr(services.jobs, "create_with_media", fail)
    for fields in [{}, {"stream": "true"}]:
        answer = send(client, **fields)
        error = error_of(answer, status)
        assert error == {
            "message": "it did not work",
            "type": "server_error" if status >= 500 else "invalid_request_error",
            "param": param,
            "code": code,
        }
        assert ("Retry-After" in answer.headers) == (status >= 500)
        assert answer.headers.get("x-should-retry") == ("false" if code == "gave_up" else None)


def test_json_is_the_default_and_text_is_bare(
    client: TestClient, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    text = answered(client, store, queue, response_format="text")
    assert (text.text, text.headers["content-type"]) == (f"{TEXT}\n", "text/plain; charset=utf-8")
    assert send(client).json()["text"] == TEXT


def test_subtitles_come_as_they_are(
    client: TestClient, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    srt = answered(client, store, queue, response_format="srt")
    assert srt.headers["content-type"] == "text/plain; charset=utf-8"
    assert srt.text.startswith("1\n00:00:00,000 --> ")
    vtt = send(client, response_format="vtt")
    assert vtt.headers["content-type"].startswith("text/vtt")
    assert vtt.text.startswith("WEBVTT\n\n")


SEGMENT_FIELDS = {
    "id",
    "seek",
    "start",
    "end",
    "text",
    "tokens",
    "temperature",
    "avg_logprob",
    "compression_ratio",
    "no_speech_prob",
}


def spoken(ref: JobRef) -> Transcript:
    """One segment with its words and its tokens."""
    segment = Segment(
        id=0,
        seek=0,
        start=0,
        end=1,
        text=" Hi.",
        words=(Word(word=" Hi.", start=0.1, end=0.9, probability=0.9),),
        logprobs=(TokenLogprob(token=" Hi.", bytes=tuple(b" Hi."), logprob=-0.25),),
    )
    return a_transcript(ref, segments=(segment,))


def test_verbose_json_has_segments_words_or_both(
    client: TestClient, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    fields: dict[str, Any] = {
        "response_format": "verbose_json",
        "timestamp_granularities[]": ["word", "segment"],
    }
    send(client, **fields)
    finish(store, ref := job_of(queue), spoken(ref))
    both = send(client, **fields).json()
    assert both["language"] == "english"
    assert both["duration"] == 61.25
    assert both["words"] == [{"word": "Hi.", "start": 0.1, "end": 0.9}]
    assert both["segments"][0].keys() == SEGMENT_FIELDS
    words = send(client, **fields | {"timestamp_granularities[]": ["word"]}).json()
    assert "segments" not in words
    assert words["words"] == both["words"]


def test_words_are_there_only_when_they_were_asked_for(
    client: TestClient, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    body = answered(client, store, queue, response_format="verbose_json").json()
    assert body.keys() == {"task", "language", "duration", "text", "segments", "usage"}


def test_log_probabilities_come_where_they_were_asked_for(
    client: TestClient, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    fields = {"include[]": "logprobs"}
    send(client, **fields)
    finish(store, ref := job_of(queue), spoken(ref))
    said = [{"token": " Hi.", "bytes": [32, 72, 105, 46], "logprob": -0.25}]
    assert send(client, **fields).json()["logprobs"] == said
    delta, done = events(send(client, **fields, stream="true"))
    assert delta == {"type": "transcript.text.delta", "delta": "Hi.", "logprobs": said}
    assert done == {"type": "transcript.text.done", "text": "Hi.", "logprobs": said}


def test_a_translation_is_text_in_english(
    client: TestClient, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    send(client, TRANSLATIONS, model="base")
    ref = job_of(queue)
    request = read(store, JobRequest, keys.request(ref))
    assert request is not None
    assert request.options.task == "translate"
    finish(store, ref, a_transcript(ref, language="fr", task="translate"))
    assert send(client, TRANSLATIONS, model="base").json() == {"text": TEXT}
    verbose = send(client, TRANSLATIONS, model="base", response_format="verbose_json").json()
    assert (verbose["task"], verbose["language"]) == ("translate", "english")


def events(answer: Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = [frame for frame in answer.text.split("\n\n") if frame and frame[0] != ":"]
    assert all(frame.startswith("data: ") for frame in frames)
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def test_a_stream_of_a_finished_job_comes_at_once(
    client: TestClient, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    assert answered(client, store, queue).status_code == 200
    *deltas, done = events(send(client, stream="true"))
    assert [delta["delta"] for delta in deltas] == ["Hello there.", " General Kenobi."]
    assert done == {"type": "transcript.text.done", "text": TEXT}


def test_a_job_that_ends_badly_ends_the_stream_with_an_error(
    client: TestClient, services: Services, store: MemoryObjectStore, clock: ManualClock
) -> None:
    sent = services.jobs.view

    def cancelled(tenant: str, job_id: str) -> Any:
        cancel(store, JobRef(tenant, job_id), clock)
        return sent(tenant, job_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services.jobs, "view", cancelled)
        [event] = events(send(client, stream="true"))
    assert event["error"]["message"] == "the job was cancelled"
    assert event["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["   "],
        [" One.", " Two. ", " ", "  Three.\n"],
        ["  ", " late", ""],
        ["日本", "語 ", "\u3000です"],
    ],
)
def test_deltas_join_to_the_text_exactly(texts: list[str]) -> None:
    deltas = Deltas()
    sent = [deltas.add(text) for text in texts]
    assert "".join(sent) == deltas.text == "".join(texts).strip()


def test_a_gateway_that_buffers_gets_no_stream_that_never_ends(
    services: Services, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    app = create_app(services)

    async def gateway(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"aws.event": {}}, receive, send)

    client = TestClient(gateway, headers={"Authorization": "Bearer operator"})
    assert error_of(send(client, stream="true"), 503)["code"] == "try_again"
    finish(store, job_of(queue))
    assert events(send(client, stream="true"))[-1]["text"] == TEXT


FILES: list[tuple[tuple[Any, ...], str, str]] = [
    (("speech.MP3", b"x"), "speech.MP3", "audio/mpeg"),
    (("speech.wav", b"x", "audio/x-wav"), "speech.wav", "audio/wav"),
    (("blob", b"x", "audio/webm;codecs=opus"), "blob", "audio/webm;codecs=opus"),
    (("my.recording.bin", b"x", "audio/mpeg"), "my_recording", "audio/mpeg"),
    (("upload", WAV, "application/octet-stream"), "upload.wav", "audio/wav"),
    (("upload", b"fLaC", "application/octet-stream"), "upload.flac", "audio/flac"),
    (("upload", b"OggS", "application/octet-stream"), "upload.ogg", "audio/ogg"),
    (("upload", b"ID3\x04", "application/octet-stream"), "upload.mp3", "audio/mpeg"),
    (("upload", b"\xff\xfb\x90", "application/octet-stream"), "upload.mp3", "audio/mpeg"),
    (("upload", b"\0\0\0 ftypM4A ", "application/octet-stream"), "upload.m4a", "audio/mp4"),
    (("upload", b"\0\0\0 ftypisom", "application/octet-stream"), "upload.mp4", "video/mp4"),
    (("upload", b"\x1a\x45\xdf\xa3", "application/octet-stream"), "upload.webm", "video/webm"),
]


@pytest.mark.parametrize(("file", "name", "content_type"), FILES)
def test_a_file_is_known_by_its_name_its_type_or_its_first_bytes(
    file: Any,
    name: str,
    content_type: str,
    client: TestClient,
    store: MemoryObjectStore,
    queue: MemoryJobQueue,
) -> None:
    assert send(client, file=file).status_code == 503
    request = read(store, JobRequest, keys.request(job_of(queue)))
    assert request is not None
    assert (request.name, request.content_type) == (name, content_type)


@pytest.mark.parametrize(
    "file",
    [
        ("notes.txt", b"hello", "text/plain"),
        ("notes.txt", WAV, "application/octet-stream"),
        ("notes", b"hello", "application/octet-stream"),
        ("notes", b"hello", "text/plain"),
        ("speech.wav", b""),
        ("\0.wav", b""),
        ("..", WAV, "audio/ wav"),
    ],
)
def test_a_file_that_is_no_audio_is_refused_by_its_field(file: Any, client: TestClient) -> None:
    assert error_of(send(client, file=file), 400)["param"] == "file"


def test_a_request_without_a_file_says_so(client: TestClient) -> None:
    answer = client.post(TRANSCRIPTIONS, data={"model": "whisper-1"})
    assert error_of(answer, 400)["param"] == "file"
    answer = client.post(TRANSCRIPTIONS, json={"model": "whisper-1"})
    assert answer.status_code == 400
    error_of(answer, 400)


def test_a_body_that_is_no_form_is_400(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    error_of(client.post(TRANSCRIPTIONS, content=b"garbage", headers=headers), 400)
    headers = {"Content-Type": "multipart/form-data"}
    error_of(client.post(TRANSCRIPTIONS, content=b"garbage", headers=headers), 400)


def test_a_file_over_the_limit_is_413_and_so_is_a_body(client: TestClient) -> None:
    for size in (5001, 200_000):
        error = error_of(send(client, file=("speech.wav", bytes(size))), 413)
        assert error["param"] == "file"
        assert "/v1/jobs" in error["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", TRANSCRIPTIONS),
        ("POST", "/audio/transcriptions"),
        ("POST", TRANSLATIONS),
        ("GET", "/v1/models"),
        ("GET", "/models"),
        ("GET", "/v1/models/tiny.en"),
    ],
)
@pytest.mark.parametrize("authorization", ["", "Bearer no"])
def test_a_missing_or_wrong_key_is_401(
    method: str, path: str, authorization: str, client: TestClient
) -> None:
    answer = client.request(method, path, headers={"Authorization": authorization})
    error = error_of(answer, 401)
    assert (error["code"], error["type"]) == ("invalid_api_key", "invalid_request_error")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_key_is_checked_before_the_file_is_taken(services: Services) -> None:
    seen: list[dict[str, Any]] = []

    async def nothing() -> Any:
        raise AssertionError("the body was asked for")

    async def send(message: Any) -> None:
        seen.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": TRANSCRIPTIONS,
        "raw_path": TRANSCRIPTIONS.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"multipart/form-data; boundary=x")],
    }
    asyncio.run(create_app(services)(scope, nothing, send))
    assert seen[0]["status"] == 401


def keyed(services: Services, **fields: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {services.api_keys.issue('acme', 'narrow', **fields)}"}


def test_a_key_that_may_only_read_may_not_transcribe(
    client: TestClient, services: Services
) -> None:
    answer = send(client, headers=keyed(services, scopes=("read",)))
    assert error_of(answer, 403)["code"] == "forbidden"


def test_a_key_is_held_to_its_models_and_its_size(
    client: TestClient, services: Services, store: MemoryObjectStore, queue: MemoryJobQueue
) -> None:
    narrow = keyed(services, models=("base",))
    error = error_of(send(client, headers=narrow, model="tiny.en"), 404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    send(client, headers=narrow)
    request = read(store, JobRequest, keys.request(job_of(queue)))
    assert request is not None
    assert request.model == "base"
    small = keyed(services, max_upload_bytes=3)
    assert error_of(send(client, headers=small), 413)["param"] == "file"


def test_openai_names_stand_for_the_default_model_unless_aliases_say_otherwise(
    client: TestClient, store: MemoryObjectStore, clock: ManualClock
) -> None:
    names = ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe-2025-12-15"]
    assert {send(client, model=name).headers["x-whisperdrop-job"] for name in names} == {
        send(client, model="tiny.en").headers["x-whisperdrop-job"]
    }
    queue = MemoryJobQueue(clock)
    services = services_over(
        store,
        clock,
        queue,
        whisper_models="tiny.en,base",
        whisper_aliases="whisper-1=base",
        sync_wait_seconds=0,
    )
    with TestClient(create_app(services), headers={"Authorization": "Bearer operator"}) as other:
        send(other)
    request = read(store, JobRequest, keys.request(job_of(queue)))
    assert request is not None
    assert request.model == "whisper-1"  # which the worker loads as base


@pytest.mark.parametrize("name", ["large-v9", "gpt-4o-transcribe-diarize", "whisper-2"])
def test_a_model_that_is_not_served_is_404(name: str, client: TestClient) -> None:
    error = error_of(send(client, model=name), 404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert ("speakers" in error["message"]) == name.endswith("diarize")
    error_of(client.get(f"/v1/models/{name}"), 404)


def test_models_are_listed_and_retrieved_as_openai_does(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["tiny.en", "base"]
    assert listed["data"][0].keys() == {"id", "object", "created", "owned_by", "shutdown_date"}
    assert client.get("/models/base").json() == listed["data"][1]
    assert client.get("/v1/models/whisper-1").json()["id"] == "whisper-1"


def test_every_answer_has_openais_headers(client: TestClient) -> None:
    waiting = send(client)
    assert waiting.headers["x-ratelimit-limit-requests"] == "64"
    assert waiting.headers["x-ratelimit-remaining-requests"] == "63"
    assert waiting.headers["x-ratelimit-reset-requests"] == "0s"
    refused = client.get("/v1/models", headers={"Authorization": "Bearer no"})
    for answer in (waiting, refused):
        assert answer.headers["x-request-id"]
        assert int(answer.headers["openai-processing-ms"]) >= 0


def test_a_tenant_with_too_many_requests_at_work_gets_429(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Slot.take

    def full(slot: Slot, tenant: str) -> None:
        slot._taken[tenant] += 64
        try:
            taken(slot, tenant)
        finally:
            slot._taken[tenant] -= 64

    with monkeypatch.context() as patch:
        patch.setattr(Slot, "take", full)
        answer = send(client)
    error = error_of(answer, 429)
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "requests")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert send(client).headers["x-ratelimit-remaining-requests"] == "63"


def test_other_paths_keep_their_own_shape(client: TestClient) -> None:
    assert error_of(client.get(TRANSCRIPTIONS), 405)["code"] == "method_not_allowed"
    assert error_of(client.post("/v1/audio/speech"), 404)["code"] == "not_found"
    assert client.get("/v1/jobs/nope").json().keys() == {"detail", "code"}
    assert not is_ours("/modelsish")
