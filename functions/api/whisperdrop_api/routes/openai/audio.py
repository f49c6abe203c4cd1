"""``/v1/audio/transcriptions`` and ``/v1/audio/translations``.

An SDK gives up after 600 s and retries by itself, with the whole file and nothing that names its
request. So a wait that is over is 503 with ``Retry-After``, and the content's hash with the options
leads the retry back to the job that goes on.
"""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobStatus
from whisperdrop.errors import JobNotFoundError, NotReadyError, TryAgainError
from whisperdrop.observability import tracing
from whisperdrop.service.api_keys import ApiKey
from whisperdrop.service.deduplication import fingerprint
from whisperdrop.service.jobs import NewJob
from whisperdrop_api.composition import Services
from whisperdrop_api.dependencies import CorrelationDep, ServicesDep, Writer
from whisperdrop_api.routes.events import EventStream
from whisperdrop_api.routes.openai import errors, models, rendering, streaming
from whisperdrop_api.routes.openai.describing import TRANSCRIPTION, TRANSLATION
from whisperdrop_api.routes.openai.failures import failure_of
from whisperdrop_api.routes.openai.form import AudioRequest, Task, parse
from whisperdrop_api.routes.openai.media import media_of, sha256_of
from whisperdrop_api.tailing import buffered
from whisperdrop_api.waiting import wait_for_outcome

_MAX_FIELDS = 1000
_MAX_FILES = 4  # one is read; a field that nobody knows may be another
_EARLY_S = 2.0  # what fails at once fails with its own status, before a stream has begun
_STATUSES = (400, 401, 403, 404, 413, 429, 500, 503)

router = APIRouter(tags=["openai"])


@router.post("/audio/transcriptions", include_in_schema=False)
@router.post("/v1/audio/transcriptions", responses=errors.described(*_STATUSES), **TRANSCRIPTION)
async def create_transcription(
    request: Request, services: ServicesDep, key: Writer, correlation_id: CorrelationDep
) -> Response:
    """Transcribe a file, as OpenAI's API does; any of its SDKs will do.

    With `stream` the text comes while the audio is still being transcribed.
    """
    return await _answer("transcribe", request, services, key, correlation_id)


@router.post("/audio/translations", include_in_schema=False)
@router.post("/v1/audio/translations", responses=errors.described(*_STATUSES), **TRANSLATION)
async def create_translation(
    request: Request, services: ServicesDep, key: Writer, correlation_id: CorrelationDep
) -> Response:
    """Write in English what is said in any language; needs a multilingual model."""
    return await _answer("translate", request, services, key, correlation_id)


async def _answer(
    task: Task, request: Request, services: Services, key: ApiKey, correlation_id: str
) -> Response:
    request.state.slot.take(key.tenant)
    asked, ref = await _job(task, request, services, key, correlation_id)
    headers = {"x-whisperdrop-job": ref.job_id}
    wait_s = services.settings.sync_wait_seconds
    if asked.stream and not buffered(request):
        wait_s = min(_EARLY_S, wait_s)
    outcome = await wait_for_outcome(services, ref, wait_s, gone=request.is_disconnected)
    if outcome is not None and outcome.status is not JobStatus.SUCCEEDED:
        answer: Response = errors.render(failure_of(outcome))
    elif asked.stream and (outcome is not None or not buffered(request)):
        frames = streaming.frames(services, ref, logprobs=asked.options.logprobs)
        return EventStream(frames, headers=headers)
    elif outcome is None:
        answer = errors.render(
            TryAgainError(
                "the transcription takes longer than this request may; it goes on, and the same "
                "request finds it. Longer files are better sent to POST /v1/jobs"
            )
        )
    else:
        answer = await _transcript(services, ref, asked)
    answer.headers.update(headers)
    return answer


async def _job(
    task: Task, request: Request, services: Services, key: ApiKey, correlation_id: str
) -> tuple[AudioRequest, JobRef]:
    """What is asked for, and its job: a new one, or one for the same content and options."""
    limit = min(services.settings.max_sync_bytes, key.max_upload_bytes or 2**63)
    async with request.form(max_files=_MAX_FILES, max_fields=_MAX_FIELDS) as form:
        asked = parse(form, task)
        model = models.admit(services.catalog, asked.model, key)
        media = media_of(form, limit)
        content = await run_in_threadpool(sha256_of, media.file)
        new = NewJob(
            tenant=key.tenant,
            model=model,
            name=media.name,
            content_type=media.content_type,
            options=asked.options,
            correlation_id=correlation_id,
            traceparent=tracing.traceparent(),
        )
        ref = await run_in_threadpool(
            services.jobs.create_with_media,
            new,
            media.file,
            media.size,
            fingerprint=fingerprint(content, model, asked.options),
        )
    return asked, ref


async def _transcript(services: Services, ref: JobRef, asked: AudioRequest) -> Response:
    try:
        transcript = await run_in_threadpool(services.jobs.transcript, ref.tenant, ref.job_id)
    except (JobNotFoundError, NotReadyError) as error:  # deleted a moment ago
        raise TryAgainError(
            "the transcript was deleted meanwhile; send the request again"
        ) from error
    return rendering.render(transcript, asked)
