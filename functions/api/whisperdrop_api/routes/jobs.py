"""The jobs API: create with a presigned upload, wait, cancel, fetch."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from whisperdrop.domain.formats import Format, render
from whisperdrop.errors import InvalidValueError, TooLargeError
from whisperdrop.service.jobs import NewJob
from whisperdrop_api.dependencies import CorrelationDep, Reader, ServicesDep, Writer
from whisperdrop_api.errors import ErrorBody
from whisperdrop_api.schemas import CreatedJob, CreateJob, JobBody, Links
from whisperdrop_api.waiting import wait_for_outcome

_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody},
    403: {"model": ErrorBody},
    422: {"model": ErrorBody},
    503: {"model": ErrorBody},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}}

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=_ERRORS)


@router.post(
    "",
    status_code=201,
    responses=_NOT_FOUND | {400: {"model": ErrorBody}, 413: {"model": ErrorBody}},
)
def create_job(
    body: CreateJob,
    response: Response,
    services: ServicesDep,
    key: Writer,
    correlation_id: CorrelationDep,
) -> CreatedJob:
    """Create a job and get the address to upload its media to.

    The transcription starts by itself when the upload has arrived.
    """
    new = NewJob(
        tenant=key.tenant,
        model=services.catalog.admit(body.model, key.models),
        name=body.filename,
        content_type=body.content_type,
        options=body.options,
        correlation_id=correlation_id,
        metadata=dict(body.metadata),
    )
    limit = min(services.settings.max_upload_bytes, key.max_upload_bytes or 2**63)
    if body.size is not None and body.size > limit:
        raise TooLargeError(f"uploads are limited to {limit:,} bytes; this one has {body.size:,}")
    if body.upload == "post":
        request, upload = services.jobs.create_for_post(new, limit)
    elif body.size is None:
        raise InvalidValueError("size: say how many bytes you will PUT, or ask for upload: post")
    else:
        request, upload = services.jobs.create_for_put(new, body.size)
    response.headers["Location"] = Links.of(request.job_id).self
    return CreatedJob.of(request, upload)


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


@router.get(
    "/{job_id}/transcript",
    responses=_NOT_FOUND
    | {
        200: {"content": {"application/json": {}, "text/plain": {}}},
        409: {"model": ErrorBody, "description": "No transcript (yet)"},
    },
    response_class=Response,
)
def get_transcript(
    job_id: str,
    services: ServicesDep,
    key: Reader,
    format: Format = "json",  # noqa: A002 - the parameter's public name
) -> Response:
    """The transcript of a job that succeeded."""
    rendering = render(services.jobs.transcript(key.tenant, job_id), format)
    return Response(rendering.body, media_type=rendering.content_type)
