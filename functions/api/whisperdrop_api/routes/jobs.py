"""The jobs API: create, list, wait, cancel, delete, and fetch the media."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ValidationError

from whisperdrop.domain.job import JobStatus
from whisperdrop.domain.upload import MAX_SINGLE_BYTES, MULTIPART_THRESHOLD_BYTES
from whisperdrop.errors import InvalidValueError, StoreError, TooLargeError, WhisperdropError
from whisperdrop.observability import in_context, tracing
from whisperdrop.service.api_keys import ApiKey
from whisperdrop.service.creation import Creation, WantedUpload
from whisperdrop.service.idempotency import RepeatKey
from whisperdrop.service.jobs import NewJob
from whisperdrop.service.listing import JobFilter
from whisperdrop_api import examples
from whisperdrop_api.composition import Services, logger
from whisperdrop_api.dependencies import CorrelationDep, Reader, ServicesDep, Writer
from whisperdrop_api.errors import ErrorBody, describe, refusals
from whisperdrop_api.schemas import (
    CreateBatch,
    CreatedJob,
    CreateJob,
    JobBody,
    JobList,
    Links,
    MediaBody,
)
from whisperdrop_api.waiting import wait_for_outcome

MEDIA_EXPIRES_S = 3600
"""How long the address of a job's media holds, in seconds."""

_BATCH_AT_ONCE = 8  # jobs; each costs a few requests to the store

_ERRORS = refusals(400, 401, 403, 413, 422, 500, 503)
_NOT_FOUND = refusals(404)
_CONFLICT = refusals(409)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=_ERRORS)

RepeatHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[ -~]+$",
        description="Send the same key with the same body again, and no second job is made",
    ),
]


class BatchItem(BaseModel):
    """What became of one item: either a job or an error."""

    index: int
    job: CreatedJob | None
    error: ErrorBody | None


class BatchBody(BaseModel):
    """What became of each item, in their order."""

    model_config = examples.shown(
        {
            "jobs": [
                {"index": 0, "job": examples.CREATED, "error": None},
                {
                    "index": 1,
                    "job": None,
                    "error": {"detail": "filename: Field required", "code": "invalid_value"},
                },
            ]
        }
    )

    jobs: list[BatchItem]


@router.post(
    "",
    status_code=201,
    responses=_NOT_FOUND
    | _CONFLICT
    | {200: {"model": CreatedJob, "description": "The job was there before"}},
)
def create_job(
    body: CreateJob,
    response: Response,
    services: ServicesDep,
    key: Writer,
    correlation_id: CorrelationDep,
    repeat: RepeatHeader = None,
) -> CreatedJob:
    """Create a job and get the address to upload its media to.

    The transcription starts by itself when the upload has arrived. 200 instead of 201 says that
    the job was there before: made with the same Idempotency-Key, or of the same content.
    """
    creation = _create(body, services, key, correlation_id, repeat)
    response.status_code = 201 if creation.made else 200
    response.headers["Location"] = Links.of(creation.job.ref.job_id).self
    return CreatedJob.of(creation)


@router.post("/batch")
def create_batch(
    body: CreateBatch,
    services: ServicesDep,
    key: Writer,
    correlation_id: CorrelationDep,
    repeat: RepeatHeader = None,
) -> BatchBody:
    """Create up to 100 jobs; a bad item gets its error and does not stop the others.

    With an Idempotency-Key the batch can be sent again as it is: no job is made twice.
    """

    def create(index: int, item: object) -> BatchItem:
        try:
            job = CreateJob.model_validate(item)
            again = None if repeat is None else f"{index} of {repeat}"
            creation = _create(job, services, key, correlation_id, again)
        except ValidationError as error:
            return _refused(index, describe(error))
        except StoreError as error:
            logger.error("store_failed", extra={"path": "/v1/jobs/batch"}, exc_info=error)
            return _refused(index, error)
        except WhisperdropError as error:
            return _refused(index, error)
        return BatchItem(index=index, job=CreatedJob.of(creation), error=None)

    with ThreadPoolExecutor(_BATCH_AT_ONCE) as beside:
        return BatchBody(
            jobs=list(beside.map(in_context(create), range(len(body.jobs)), body.jobs))
        )


def _refused(index: int, error: WhisperdropError) -> BatchItem:
    return BatchItem(index=index, job=None, error=ErrorBody(detail=error.message, code=error.code))


def _create(
    body: CreateJob, services: Services, key: ApiKey, correlation_id: str, repeat: str | None
) -> Creation:
    if body.webhook_url is not None:
        services.webhooks.admit(key.tenant, body.webhook_url)
    new = NewJob(
        tenant=key.tenant,
        model=services.catalog.admit(body.model, key.models),
        name=body.filename,
        content_type=body.content_type,
        options=body.options,
        correlation_id=correlation_id,
        traceparent=tracing.traceparent(),
        metadata=dict(body.metadata),
        content_sha256=body.content_sha256.lower() if body.content_sha256 else None,
        webhook_url=body.webhook_url,
        retention_days=body.retention_days,
    )
    wanted = _wanted(body, min(services.settings.max_upload_bytes, key.max_upload_bytes or 2**63))
    return services.jobs.create(new, wanted, _repeat_key(repeat, body) if repeat else None)


def _wanted(body: CreateJob, limit: int) -> WantedUpload:
    size = body.size
    if size is not None and size > limit:
        raise TooLargeError(f"uploads are limited to {limit:,} bytes; this one has {size:,}")
    method = body.upload
    if method is None:
        method = "multipart" if (size or 0) > MULTIPART_THRESHOLD_BYTES else "put"
    if method == "post":
        return WantedUpload("post", None, min(limit, MAX_SINGLE_BYTES))
    if size is None:
        raise InvalidValueError(
            "size: say how many bytes you will send, or ask for upload: post", param="size"
        )
    if method == "put" and size > MAX_SINGLE_BYTES:
        raise TooLargeError(
            f"one PUT carries {MAX_SINGLE_BYTES:,} bytes; ask for upload: multipart, or name none"
        )
    return WantedUpload(method, size, limit)


def _repeat_key(key: str, body: CreateJob) -> RepeatKey:
    said = body.model_dump(mode="json", exclude_defaults=True)
    return RepeatKey.of(key, json.dumps(said, sort_keys=True).encode())


@router.get("", response_model=JobList)
def list_jobs(
    services: ServicesDep,
    key: Reader,
    status: Annotated[
        list[JobStatus] | None, Query(description="These alone; may be repeated")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[
        str | None, Query(pattern="^[0-9a-z]{25}$", description="`next_cursor` of the page before")
    ] = None,
    q: Annotated[
        str, Query(max_length=200, description="A part of the file's name, in any case")
    ] = "",
) -> JSONResponse:
    """Your jobs, newest first.

    Each page looks at 100 jobs at most, so with a filter it may be short, or even empty, and still
    have a `next_cursor`: go on until that is null.
    """
    wanted = JobFilter(frozenset(status or ()), q)
    page = services.jobs.page(key.tenant, limit=limit, cursor=cursor, wanted=wanted)
    # Written out here: each job without what it does not have, and the page with its null.
    data = [JobBody.of(job).model_dump(mode="json", exclude_none=True) for job in page.jobs]
    return JSONResponse({"data": data, "next_cursor": page.next_cursor})


@router.get("/{job_id}", responses=_NOT_FOUND, response_model_exclude_none=True)
async def get_job(
    job_id: str,
    request: Request,
    services: ServicesDep,
    key: Reader,
    wait: Annotated[float, Query(ge=0, description="Seconds to wait for the end of the job")] = 0,
) -> JobBody:
    """The job's status; with `wait` the answer comes when the job has ended, or after so long."""
    view = await run_in_threadpool(services.jobs.view, key.tenant, job_id)
    wait_s = min(wait, services.settings.max_wait_seconds)
    if wait_s > 0 and not view.status.final:
        await wait_for_outcome(services, view.ref, wait_s, gone=request.is_disconnected)
        view = await run_in_threadpool(services.jobs.view, key.tenant, job_id)
    return JobBody.of(view)


@router.post("/{job_id}/cancel", responses=_NOT_FOUND, response_model_exclude_none=True)
def cancel_job(job_id: str, services: ServicesDep, key: Writer) -> JobBody:
    """Ask for the end of a job; answers the job as it is then, and may be repeated.

    A job that no worker holds is `cancelled` at once. A running one shows `cancel_requested` until
    its worker has stopped, a few seconds at most as a rule. One that has ended stays as it is.
    """
    return JobBody.of(services.jobs.cancel(key.tenant, job_id))


@router.delete(
    "/{job_id}",
    status_code=204,
    response_class=Response,
    responses=_NOT_FOUND
    | {202: {"model": JobBody, "description": "A worker holds it: ended first, deleted then"}},
)
def delete_job(job_id: str, services: ServicesDep, key: Writer) -> Response:
    """Delete a job: media, transcript, notes; what it has cost stays on your usage.

    A running job is cancelled first, and 202 answered until its worker has let go of it: repeat
    the request to see it gone, or leave it, and it is deleted within minutes.
    """
    if services.jobs.delete(key.tenant, job_id):
        return Response(status_code=204)
    body = JobBody.of(services.jobs.view(key.tenant, job_id))
    return JSONResponse(body.model_dump(mode="json", exclude_none=True), 202)


@router.get(
    "/{job_id}/media",
    status_code=307,
    response_class=RedirectResponse,
    response_model=None,
    responses=_NOT_FOUND
    | _CONFLICT
    | refusals(410, description="The media was deleted, the job is still there")
    | {
        200: {"model": MediaBody, "description": "With `redirect=false`"},
        307: {"description": "To the media; ranges are answered there"},
    },
)
def get_media(
    job_id: str,
    services: ServicesDep,
    key: Reader,
    redirect: Annotated[
        bool, Query(description="False answers the address instead of going there")
    ] = True,
) -> Response:
    """The file that was uploaded, at an address that needs no key and holds for an hour."""
    expires_at = datetime.now(UTC) + timedelta(seconds=MEDIA_EXPIRES_S)
    url = services.jobs.media_url(key.tenant, job_id, MEDIA_EXPIRES_S)
    headers = {"Cache-Control": "no-store"}
    if redirect:
        return RedirectResponse(url, 307, headers)
    body = MediaBody(url=url, expires_at=expires_at)
    return JSONResponse(body.model_dump(mode="json"), headers=headers)
