"""What takes more than one request: waiting, deleting, and a whole transcription."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Unpack

from whisperdrop_client import calls, uploads
from whisperdrop_client.bodies import OnBytes, Source
from whisperdrop_client.errors import JobFailedError, WaitTimeoutError
from whisperdrop_client.flows import Flow, Pause
from whisperdrop_client.models import CreatedJob, Job, Options, Transcript

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOK_S = 25.0
"""How long one request waits for the end of a job: under the 30 s of API gateways."""

_SHORTEST_LOOK_S = 0.2
_DELETE_PAUSE_S = 1.0

OnJob = Callable[[Job], None]


def wait(
    job_id: str,
    *,
    timeout: float | None = None,
    on_job: OnJob | None = None,
    every: float = LOOK_S,
) -> Flow[Job]:
    """The job when it has ended, however; ``on_job`` sees it every so many seconds before.

    Raises WaitTimeoutError after ``timeout`` seconds; the job goes on.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        began = time.monotonic()
        left = every if deadline is None else min(every, max(0.0, deadline - began))
        job: Job = yield from calls.get_job(job_id, wait=left)
        if on_job is not None:
            on_job(job)
        if job.ended:
            return job
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise WaitTimeoutError(f"job {job_id} is still {job.status} after {timeout:g} s")
        # A server that does not wait is not asked without a pause.
        if now - began < min(_SHORTEST_LOOK_S, left):
            yield Pause(min(1.0, left))


def delete(job_id: str, *, timeout: float = 60) -> Flow[None]:
    """Delete a job with its media and results; one that runs is cancelled first."""
    deadline = time.monotonic() + timeout
    while not (yield from calls.delete_once(job_id)):
        if time.monotonic() >= deadline:
            raise WaitTimeoutError(f"job {job_id} has not stopped after {timeout:g} s; try again")
        yield Pause(_DELETE_PAUSE_S)


def submit(
    media: str | os.PathLike[str] | bytes,
    *,
    filename: str | None = None,
    model: str | None = None,
    upload: Literal["put", "post", "multipart"] | None = None,
    metadata: "Mapping[str, str] | None" = None,
    webhook_url: str | None = None,
    retention_days: int | None = None,
    deduplicate: bool = True,
    idempotency_key: str | None = None,
    on_bytes: OnBytes | None = None,
    **options: Unpack[Options],
) -> Flow[CreatedJob]:
    """Create a job for a file (or bytes) and upload it.

    With ``deduplicate`` the file is hashed first, and one that was transcribed before with the same
    options is neither sent nor transcribed again.
    """
    source = Source(media, filename)
    created: CreatedJob = yield from calls.create_job(
        source.name,
        size=source.size,
        upload=upload,
        model=model,
        metadata=metadata,
        content_sha256=source.sha256() if deduplicate else None,
        webhook_url=webhook_url,
        retention_days=retention_days,
        idempotency_key=idempotency_key,
        **options,
    )
    yield from uploads.send(created, source, on_bytes=on_bytes)
    return created


def upload(
    created: CreatedJob,
    media: str | os.PathLike[str] | bytes,
    *,
    on_bytes: OnBytes | None = None,
    parts_at_once: int = uploads.PARTS_AT_ONCE,
) -> Flow[None]:
    """Send the media of a job as it says: by PUT, as a form, or by parts side by side."""
    yield from uploads.send(created, Source(media), on_bytes=on_bytes, at_once=parts_at_once)


def resume_upload(
    job_id: str,
    media: str | os.PathLike[str] | bytes,
    *,
    on_bytes: OnBytes | None = None,
    parts_at_once: int = uploads.PARTS_AT_ONCE,
) -> Flow[None]:
    """Go on with an upload by parts, of this process or another: only what is missing is sent."""
    yield from uploads.resume(job_id, Source(media), on_bytes=on_bytes, at_once=parts_at_once)


def transcribe(
    media: str | os.PathLike[str] | bytes,
    *,
    filename: str | None = None,
    model: str | None = None,
    timeout: float | None = None,
    deduplicate: bool = True,
    on_bytes: OnBytes | None = None,
    on_job: OnJob | None = None,
    **options: Unpack[Options],
) -> Flow[Transcript]:
    """Upload, wait, fetch. Raises JobFailedError when the job ends without a transcript."""
    created: CreatedJob = yield from submit(
        media,
        filename=filename,
        model=model,
        deduplicate=deduplicate,
        on_bytes=on_bytes,
        **options,
    )
    job: Job = yield from wait(
        created.job_id, timeout=timeout, on_job=on_job, every=1.0 if on_job else LOOK_S
    )
    if not job.succeeded:
        raise JobFailedError(job)
    return (yield from calls.get_transcript(job.job_id))
