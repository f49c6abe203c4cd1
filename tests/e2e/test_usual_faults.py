"""Faults that transcription servers are known for, each looked for in the running service."""

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.client import TIMEOUT_S, Client
from tests.e2e.running import RunningStack
from tests.processes import descendants
from tests.recordings import bundled, english_recording
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.clock import utc_now
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

LONG_S = 240
"""Of audio: work for far longer than the tests below look on."""
PROMPT_S = 1.0
"""For an answer of a few milliseconds, on two cores that are busy with a model."""


@pytest.fixture
def long_job(client: Client, tmp_path: Path) -> Iterator[str]:
    """In the middle of being transcribed; cancelled when the test is over."""
    job_id = client.submit(english_recording(tmp_path / "long.wav", LONG_S))
    client.transcribing(job_id)
    yield job_id
    client.post(f"/v1/jobs/{job_id}/cancel")
    client.ended(job_id)


def _worst_s(path: str, client: Client, times: int) -> float:
    """The longest that ``path`` took to answer."""
    worst = 0.0
    for _ in range(times):
        began = time.monotonic()
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        worst = max(worst, time.monotonic() - began)
    return worst


def test_everybody_is_answered_while_somebodys_file_is_transcribed(
    long_job: str, client: Client
) -> None:
    worst = {path: _worst_s(path, client, 20) for path in ("/health", "/v1/jobs", "/v1/models")}

    assert client.job(long_job)["status"] == "running"
    assert max(worst.values()) < PROMPT_S, worst


def test_everybody_is_answered_while_others_wait_for_their_text(
    long_job: str, client: Client
) -> None:
    """Sixteen requests that wait hold no thread, and nothing that the others need."""

    def wait(_: int) -> int:
        other = Client(client.address, client.key)
        return other.get(f"/v1/jobs/{long_job}", params={"wait": 5}).status_code

    with ThreadPoolExecutor(16) as beside:
        waiting = [beside.submit(wait, number) for number in range(16)]
        worst = _worst_s("/health", client, 20)
        still = sum(not one.done() for one in waiting)

    assert still == 16, "they were to wait meanwhile"
    assert worst < PROMPT_S
    assert {one.result() for one in waiting} == {200}


def test_everybody_is_answered_while_small_files_are_transcribed(client: Client) -> None:
    """By every door that answers with text, each beside the others."""

    def native(_: int) -> int:
        return Client(client.address, client.key).transcribe(bundled().media).status_code

    def openai(number: int) -> int:
        other = Client(client.address, client.key)
        return _openai(other, prompt=f"Take {time.monotonic_ns()}, {number}.").status_code

    with ThreadPoolExecutor(6) as beside:
        asked = [beside.submit(door, n) for n in range(3) for door in (native, openai)]
        worst = 0.0
        while not all(one.done() for one in asked):
            worst = max(worst, _worst_s("/health", client, 1))

    assert {one.result() for one in asked} == {200}
    assert worst < PROMPT_S


def test_everybody_is_answered_while_slow_uploads_go_on(client: Client) -> None:
    """Eight files of 8 MB come in over slow lines, and are then hashed and stored."""
    over = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
        for _ in range(32):
            yield bytes(256 * 1024)
            over.wait(0.02)
        yield b"\r\n--b--\r\n"

    def upload(_: int) -> int:
        return requests.post(
            f"{client.address}/v1/audio/transcriptions",
            data=slowly(),
            headers={
                "Authorization": f"Bearer {client.key}",
                "Content-Type": "multipart/form-data; boundary=b",
            },
            timeout=TIMEOUT_S,
        ).status_code

    with ThreadPoolExecutor(8) as beside:
        uploads = [beside.submit(upload, number) for number in range(8)]
        worst = 0.0
        while not all(one.done() for one in uploads):
            worst = max(worst, _worst_s("/health", client, 1))
        statuses = {one.result() for one in uploads}

    assert statuses == {400}, "zeros are no audio"
    assert worst < PROMPT_S


def _busy_s(pid: int) -> float:
    """Processor seconds that a process and all that it started have used."""
    ticks = 0
    for one in (pid, *descendants(pid)):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        ticks += sum(int(field) for field in fields[11:15])  # its own, and its dead children's
    return ticks / os.sysconf("SC_CLK_TCK")


def test_a_cancelled_job_stops_the_engine_and_not_only_the_wait_for_it(
    client: Client, stack: RunningStack, tmp_path: Path
) -> None:
    worker = stack.stack.child("worker").pid
    job_id = client.submit(english_recording(tmp_path / "long.wav", 4 * LONG_S))
    client.transcribing(job_id)
    working = _used_in_a_second(worker)

    client.post(f"/v1/jobs/{job_id}/cancel")
    job = client.ended(job_id, timeout_s=20)  # it would take longer than that to its own end
    # What is in the model's hands just then is finished: a batch, of a second or two.
    idle = min(_used_in_a_second(worker) for _ in range(6))

    assert job["status"] == "cancelled"
    assert working > 0.2, "the worker was to be busy"
    assert idle < 0.1, f"{idle} s of processor a second go into a job that is over"


def _used_in_a_second(pid: int) -> float:
    before = _busy_s(pid)
    time.sleep(1)
    return _busy_s(pid) - before


def test_requests_that_went_well_are_no_errors_in_the_log(
    client: Client, stack: RunningStack, tmp_path: Path
) -> None:
    """Nor are those that the caller got wrong: ERROR is for what needs a person."""
    seen = {name: len(stack.log(name)) for name in ("api", "worker", "notifier")}

    job_id = client.submit(bundled().media)
    assert client.ended(job_id)["status"] == "succeeded"
    assert client.text(job_id)
    assert client.transcribe(bundled().media).status_code == 200
    assert _openai(client, stream="true").status_code == 200
    assert client.get(f"/v1/jobs/{job_id}/events").status_code == 200
    assert client.get("/v1/jobs/nothing").status_code == 404
    assert client.post("/v1/jobs", json={"filename": "no.mp3"}).status_code == 422
    (tmp_path / "no.mp3").write_bytes(b"this is no audio")
    assert client.transcribe(tmp_path / "no.mp3").status_code == 415

    fresh = [line for name, count in seen.items() for line in stack.log(name)[count:]]
    assert len([line for line in fresh if line.get("message") == "request"]) >= 8
    assert [line for line in fresh if line["level"] not in {"DEBUG", "INFO", "WARNING"}] == []


def _openai(client: Client, **fields: str) -> requests.Response:
    media = bundled().media
    with media.open("rb") as file:
        return client.post(
            "/v1/audio/transcriptions",
            files={"file": (media.name, file)},
            data={"model": "whisper-1"} | fields,
        )


def test_the_last_event_of_a_stream_has_the_whole_text(stack: RunningStack) -> None:
    """As the first request of its kind, and as one whose job has ended long before."""
    # A tenant of its own has no job for this recording yet.
    keys = ApiKeys(stack.store, environment_key=None, clock=utc_now)
    client = Client(stack.address, keys.issue(f"stream-{time.monotonic_ns()}", "test"))

    for _ in range(2):
        answer = _openai(client, stream="true")
        events = [
            json.loads(line.removeprefix("data: "))
            for line in answer.text.splitlines()
            if line.startswith("data: ")
        ]
        *deltas, done = events
        assert done["type"] == "transcript.text.done"
        assert same_words(done["text"], bundled().text)
        assert "".join(delta["delta"] for delta in deltas) == done["text"]


def test_words_are_under_word_and_segments_have_their_log_probabilities(client: Client) -> None:
    answer = _openai(
        client,
        **{
            "response_format": "verbose_json",
            "timestamp_granularities[]": "word",
            "timestamp_granularities[1]": "segment",
        },
    )
    body: dict[str, Any] = answer.json()

    assert same_words(" ".join(word["word"] for word in body["words"]), bundled().text)
    assert all(word.keys() == {"word", "start", "end"} for word in body["words"])
    assert all(word["start"] <= word["end"] for word in body["words"])
    # A model is never certain: 0 would be a field that nobody filled in.
    assert all(-3 < segment["avg_logprob"] < 0 for segment in body["segments"])
    assert all(0 < segment["no_speech_prob"] < 1 for segment in body["segments"])
    assert all(0 < segment["compression_ratio"] < 3 for segment in body["segments"])
    assert all(segment["tokens"] for segment in body["segments"])


@pytest.mark.parametrize("door", ["native", "openai"])
def test_a_vtt_file_begins_as_one(door: str, client: Client) -> None:
    if door == "openai":
        answer = _openai(client, response_format="vtt")
    else:
        job_id = client.submit(bundled().media)
        client.ended(job_id)
        answer = client.get(f"/v1/jobs/{job_id}/transcript", params={"format": "vtt"})

    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/vtt")
    assert lines[:2] == ["WEBVTT", ""]
    assert "-->" in lines[2]


def test_no_key_and_a_wrong_key_are_401_where_openais_clients_look_for_it(client: Client) -> None:
    address = f"{client.address}/v1/models"

    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = requests.get(address, headers=headers, timeout=TIMEOUT_S)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "invalid_api_key"


def test_every_model_on_the_list_is_one_that_answers(client: Client) -> None:
    for model in client.get("/v1/models").json()["data"]:
        answer = client.transcribe(bundled().media, model=model["id"])

        assert answer.status_code == 200, answer.text
        assert same_words(answer.json()["text"], bundled().text)
