"""The synchronous door, as Whisper servers have it: send a small file, get its text.

The form is read by hand: FastAPI would take the whole body before it checks the key.
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobFailure, JobStatus, Outcome
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import (
    EmptyMediaError,
    InvalidValueError,
    NotReadyError,
    TooLargeError,
)
from whisperdrop.observability import tracing
from whisperdrop.service.api_keys import ApiKey
from whisperdrop.service.jobs import NewJob
from whisperdrop_api.composition import Services
from whisperdrop_api.dependencies import CorrelationDep, Reader, ServicesDep, Writer
from whisperdrop_api.errors import describe, refusals, render_failure
from whisperdrop_api.middleware import too_large
from whisperdrop_api.schemas import (
    FILE_ENCODING,
    Links,
    PendingBody,
    ResultBody,
    TranscribedBody,
)
from whisperdrop_api.waiting import wait_for_outcome

_MAX_FIELDS = 20
_RETRY_AFTER_S = "2"

_STATUSES = (400, 401, 403, 404, 410, 413, 415, 422, 500, 503)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": TranscribedBody},
    202: {"model": PendingBody, "description": "Not ready in time; the job goes on"},
    **refusals(*_STATUSES),
}


def _form_fields() -> dict[str, Any]:
    """The options as fields of a form, which has no null: what is not given is left out."""
    fields = {}
    for name, option in TranscribeOptions.model_json_schema()["properties"].items():
        chosen = [one for one in option.pop("anyOf", ()) if one != {"type": "null"}]
        if option.get("default") is None:
            option.pop("default", None)
        fields[name] = option | (chosen[0] if chosen else {})
    return fields


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "The audio"},
                        **_form_fields(),
                    },
                },
                "encoding": FILE_ENCODING,
            }
        },
    }
}

router = APIRouter(tags=["transcribe"])


@router.post("/transcribe/{model}", responses=_RESPONSES, openapi_extra=_FORM)
@router.post(
    "/transcribe-{model}",
    name="transcribe_by_name",
    responses=_RESPONSES,
    openapi_extra=_FORM,
)
async def transcribe(
    model: str,
    request: Request,
    services: ServicesDep,
    key: Writer,
    correlation_id: CorrelationDep,
) -> JSONResponse:
    """Transcribe a small file and wait for its text.

    `/transcribe/small` and `/transcribe-small` are the same; so it is for every served model.
    """
    chosen = services.catalog.admit(model, key.models)
    async with request.form(max_files=1, max_fields=_MAX_FIELDS) as form:
        upload = _file_of(form, services, key)
        new = NewJob(
            tenant=key.tenant,
            model=chosen,
            name=upload.filename or "",
            content_type=upload.content_type,
            options=_options_of(form),
            correlation_id=correlation_id,
            traceparent=tracing.traceparent(),
        )
        ref = await run_in_threadpool(
            services.jobs.create_with_media, new, upload.file, upload.size or 0
        )
    outcome = await wait_for_outcome(
        services, ref, services.settings.sync_wait_seconds, gone=request.is_disconnected
    )
    if outcome is None:
        return _pending(ref, JobStatus.QUEUED)
    if outcome.status is not JobStatus.SUCCEEDED:
        return _failed(outcome)
    transcript = await run_in_threadpool(services.jobs.transcript, key.tenant, ref.job_id)
    body = TranscribedBody(text=transcript.text, language=transcript.language)
    return JSONResponse(body.model_dump(), headers={"x-whisperdrop-job": ref.job_id})


@router.get(
    "/results/{job_id}",
    responses=_RESPONSES | refusals(409) | {200: {"model": ResultBody}},
)
def get_result(job_id: str, services: ServicesDep, key: Reader) -> JSONResponse:
    """The text of a job, however it was made; 202 until it has ended."""
    try:
        transcript = services.jobs.transcript(key.tenant, job_id)
    except NotReadyError:
        view = services.jobs.view(key.tenant, job_id)
        if view.outcome is not None:
            return _failed(view.outcome)
        return _pending(view.ref, view.status)
    body = ResultBody(
        job_id=job_id,
        model=transcript.model,
        text=transcript.text,
        language=transcript.language,
        duration=transcript.duration,
    )
    return JSONResponse(body.model_dump())


def _file_of(form: FormData, services: Services, key: ApiKey) -> UploadFile:
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise InvalidValueError("file: send the audio as the form field 'file'")
    if not upload.size:
        raise EmptyMediaError("the file is empty")
    limit = min(services.settings.max_sync_bytes, key.max_upload_bytes or 2**63)
    if upload.size > limit:
        raise TooLargeError(too_large(limit))
    return upload


def _options_of(form: FormData) -> TranscribeOptions:
    # Unknown fields are passed over, as other Whisper servers do; empty ones mean "not given".
    fields = {
        name: value
        for name in TranscribeOptions.model_fields
        if isinstance(value := form.get(name), str) and value != ""
    }
    try:
        return TranscribeOptions.model_validate(fields)
    except ValidationError as error:
        raise describe(error) from error


def _pending(ref: JobRef, status: JobStatus) -> JSONResponse:
    links = Links.of(ref.job_id)
    body = PendingBody(job_id=ref.job_id, status=status, links=links)
    headers = {"Location": links.self, "Retry-After": _RETRY_AFTER_S}
    return JSONResponse(body.model_dump(), 202, headers)


def _failed(outcome: Outcome) -> JSONResponse:
    cancelled = JobFailure(code="cancelled", message="the job was cancelled")
    return render_failure(outcome.error or cancelled)
