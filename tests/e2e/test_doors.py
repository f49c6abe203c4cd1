"""Every way in, on real speech."""

import time

import pytest
import requests

from tests.e2e.client import TIMEOUT_S, Client
from tests.e2e.running import RunningStack
from tests.recordings import bundled
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]


def test_a_presigned_put_becomes_a_transcript(client: Client, stack: RunningStack) -> None:
    sample = bundled()

    job_id = client.submit(sample.media, metadata={"case": "42"})
    job = client.ended(job_id)

    assert job["status"] == "succeeded"
    assert same_words(client.text(job_id), sample.text)
    assert job["usage"]["audio_s"] == pytest.approx(2.889, abs=0.01)
    assert stack.document(f"jobs/default/{job_id}/request.json")["metadata"] == {"case": "42"}
    assert stack.keys(f"pending/default/{job_id}") == []
    [usage] = [key for key in stack.keys("usage/default/") if job_id in key]
    assert usage.endswith(f"-{round(job['usage']['audio_s'] * 1000)}.json")


def test_a_presigned_form_post_becomes_a_transcript(client: Client) -> None:
    sample = bundled("hello_world")
    created = client.post("/v1/jobs", json={"filename": sample.media.name, "upload": "post"}).json()
    upload = created["upload"]

    with sample.media.open("rb") as media:
        answer = requests.post(
            upload["url"], data=upload["fields"], files={"file": media}, timeout=TIMEOUT_S
        )

    assert answer.status_code in {200, 201, 204}, answer.text
    assert client.ended(created["job_id"])["status"] == "succeeded"
    assert same_words(client.text(created["job_id"]), sample.text)


def test_the_full_transcript_has_segments_and_times(client: Client) -> None:
    job_id = client.submit(bundled().media, word_timestamps=True)
    client.ended(job_id)

    transcript = client.get(f"/v1/jobs/{job_id}/transcript").json()

    words = [word for segment in transcript["segments"] for word in segment["words"]]
    assert "".join(word["word"] for word in words).strip() == transcript["text"]
    assert all(one["start"] <= one["end"] <= transcript["duration"] for one in words)
    assert [w["start"] for w in words] == sorted(w["start"] for w in words)
    assert transcript["language"] == "en"
    assert transcript["model"] == "tiny.en"


@pytest.mark.parametrize("path", ["/transcribe/tiny.en", "/transcribe-tiny.en"])
def test_a_small_file_is_answered_at_once(client: Client, path: str) -> None:
    sample = bundled()

    with sample.media.open("rb") as media:
        answer = client.post(path, files={"file": media})

    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"text", "language"}
    assert answer.json()["language"] == "en"
    assert same_words(answer.json()["text"], sample.text)


def test_the_result_of_any_job_is_found_by_its_id(client: Client) -> None:
    sample = bundled()
    job_id = client.submit(sample.media)
    client.ended(job_id)

    answer = client.get(f"/results/{job_id}")

    assert answer.status_code == 200
    assert same_words(answer.json()["text"], sample.text)


def test_a_result_that_is_not_there_yet_is_202_with_its_address(client: Client) -> None:
    created = client.create(bundled().media)

    answer = client.get(f"/results/{created['job_id']}")

    assert answer.status_code == 202
    assert answer.headers["Location"] == created["links"]["self"]
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["status"] == "awaiting_upload"


def test_waiting_ends_when_the_time_is_over(client: Client) -> None:
    created = client.create(bundled().media)

    began = time.monotonic()
    job = client.job(created["job_id"], wait=1)

    assert job["status"] == "awaiting_upload"
    assert time.monotonic() - began >= 1


def test_a_drop_is_rendered_beside_its_path(stack: RunningStack) -> None:
    sample = bundled()
    key = "inbox/default/calls/2026/имя файла ünï + 日本.wav"

    stack.store.put(key, sample.media.read_bytes(), "audio/wav")

    text = _appears(stack, key.replace("inbox/", "outbox/", 1) + ".txt")
    assert same_words(text.decode(), sample.text)
    assert stack.document(key.replace("inbox/", "outbox/", 1) + ".json")["text"]
    vtt = _appears(stack, key.replace("inbox/", "outbox/", 1) + ".vtt")
    assert vtt.startswith(b"WEBVTT\n\n00:00:0")
    assert _appears(stack, key.replace("inbox/", "outbox/", 1) + ".srt").startswith(b"1\n00:00:0")


def test_a_drop_may_say_how_in_its_metadata(stack: RunningStack) -> None:
    key = "inbox/default/words.wav"

    stack.s3.put_object(
        Bucket=stack.bucket,
        Key=key,
        Body=bundled().media.read_bytes(),
        Metadata={"whisperdrop-word-timestamps": "true"},
    )

    _appears(stack, "outbox/default/words.wav.txt")
    transcript = stack.document("outbox/default/words.wav.json")
    assert transcript["segments"][0]["words"]


def test_a_drop_that_is_no_audio_gets_its_error_beside_its_path(stack: RunningStack) -> None:
    stack.store.put("inbox/default/notes.txt", b"no audio", "text/plain")

    error = _appears(stack, "outbox/default/notes.txt.error.json")

    assert b"unsupported_media_type" in error


def test_models_and_health_say_what_is_there(client: Client) -> None:
    models = client.get("/v1/models").json()
    health = requests.get(f"{client.address}/health", timeout=TIMEOUT_S).json()

    assert [model["id"] for model in models["data"]] == ["tiny.en"]
    assert health["status"] == "ok"
    assert health["models_loaded"] == ["tiny.en"]


def test_the_openapi_document_names_every_route(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    assert {
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/transcript",
        "/transcribe/{model}",
        "/transcribe-{model}",
        "/results/{job_id}",
        "/v1/models",
        "/health",
    } <= paths.keys()
    assert client.get("/docs").ok


def _appears(stack: RunningStack, key: str, timeout_s: float = 60) -> bytes:
    deadline = time.monotonic() + timeout_s
    while (found := stack.store.get(key)) is None:
        assert time.monotonic() < deadline, f"{key} did not appear"
        time.sleep(0.1)
    return found.body
