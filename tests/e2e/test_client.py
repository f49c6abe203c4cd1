"""The client packages against the whole service."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import anyio
import pytest

from tests.e2e.command import clips, padded
from tests.e2e.running import RunningStack
from tests.recordings import bundled, english_recording
from whisperdrop_client import (
    AsyncWhisperdrop,
    AuthenticationError,
    JobEvent,
    JobFailedError,
    NewJob,
    NotFoundError,
    NotReadyError,
    SegmentEvent,
    Whisperdrop,
)
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]


@pytest.fixture
def client(stack: RunningStack, tmp_path: Path) -> Iterator[Whisperdrop]:
    """With a key of a tenant that nobody else uses."""
    tenant = f"c{uuid.uuid4().hex[:12]}"
    with Whisperdrop(stack.address, stack.api_key) as operator:
        key = operator.keys.create("test", tenant=tenant).key
    with Whisperdrop(stack.address, key) as client:
        yield client


def test_a_file_becomes_a_transcript(client: Whisperdrop) -> None:
    sample = bundled()
    stages: list[str] = []

    transcript = client.transcribe(
        sample.media, word_timestamps=True, on_job=lambda job: stages.append(job.status)
    )

    assert same_words(transcript.text, sample.text)
    assert transcript.segments[0].words
    assert stages[-1] == "succeeded"
    assert client.jobs.render(transcript.job_id, "srt", max_line_chars=20).startswith("1\n")


def test_bytes_too_and_async(client: Whisperdrop, stack: RunningStack) -> None:
    sample = bundled()

    async def main() -> str:
        async with AsyncWhisperdrop(stack.address, stack.api_key) as asynchronous:
            transcript = await asynchronous.transcribe(
                sample.media.read_bytes(), filename="x.wav", deduplicate=False
            )
            job = await asynchronous.jobs.get(transcript.job_id)
            await asynchronous.jobs.delete(job.job_id)
            with pytest.raises(NotFoundError):
                await asynchronous.jobs.get(job.job_id)
            return transcript.text

    assert same_words(anyio.run(main), sample.text)


@pytest.mark.parametrize("method", ["put", "post", "multipart"])
def test_every_kind_of_upload(
    client: Whisperdrop, tmp_path: Path, method: Literal["put", "post", "multipart"]
) -> None:
    size = 21 * 1024**2 if method == "multipart" else 2 * 1024**2
    media = padded(tmp_path / "a.wav", size)
    sent: list[int] = []

    created = client.jobs.submit(
        media, upload=method, deduplicate=False, on_bytes=lambda now, _: sent.append(now)
    )

    assert created.upload is not None
    assert created.upload.method == method.upper()
    assert client.jobs.wait(created.job_id, timeout=60).succeeded
    assert sent[-1] == size


def test_a_hundred_files_in_one_batch(client: Whisperdrop, tmp_path: Path) -> None:
    media = clips(tmp_path, 100, seconds=1, spoken=3)
    wishes: list[NewJob] = [{"filename": path.name, "size": path.stat().st_size} for path in media]
    wishes[50]["filename"] = "notes.txt"

    items = client.jobs.batch(wishes)

    assert [item.index for item in items] == list(range(100))
    refused = items[50]
    assert refused.job is None
    assert refused.error is not None
    assert refused.error.code == "unsupported_media_type"
    pairs = [(item.job, path) for item, path in zip(items, media, strict=True) if item.job]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pair: client.jobs.upload(*pair), pairs))
    jobs = [client.jobs.wait(job.job_id, timeout=120) for job, _ in pairs]
    assert {job.status for job in jobs} == {"succeeded"}
    listed = list(client.jobs.list(page_size=30))
    assert {job.job_id for job in listed} == {job.job_id for job, _ in pairs}
    assert [job.job_id for job in listed] == sorted(job.job_id for job in listed)
    assert len(list(client.jobs.list(q="clip-09"))) == 10


def test_segments_come_as_they_are_finished(client: Whisperdrop, tmp_path: Path) -> None:
    media = english_recording(tmp_path / "long.wav", 30)
    created = client.jobs.submit(media)

    events = list(client.jobs.events(created.job_id))

    segments = [event.segment for event in events if isinstance(event, SegmentEvent)]
    assert isinstance(events[-1], JobEvent)
    assert events[-1].end
    assert events[-1].job.succeeded
    assert [segment.id for segment in segments] == list(range(len(segments)))
    transcript = client.jobs.transcript(created.job_id)
    assert "".join(segment.text for segment in segments).strip() == transcript.text


def test_what_cannot_be_transcribed_is_raised(client: Whisperdrop) -> None:
    with pytest.raises(JobFailedError) as caught:
        client.transcribe(b"no audio at all" * 100, filename="a.mp3")
    assert caught.value.code == "undecodable_media"
    with pytest.raises(NotReadyError):
        client.jobs.transcript(caught.value.job.job_id)


def test_a_wrong_key_is_raised(stack: RunningStack) -> None:
    with Whisperdrop(stack.address, "wd_wrong") as stranger, pytest.raises(AuthenticationError):
        stranger.models()
