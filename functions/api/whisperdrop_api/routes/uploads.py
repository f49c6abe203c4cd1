"""Uploads in parts: have parts signed, see which have arrived, complete, give up."""

from fastapi import APIRouter

from whisperdrop_api.dependencies import Reader, ServicesDep, Writer
from whisperdrop_api.errors import refusals
from whisperdrop_api.schemas import JobBody, PartBody, SignedPartsBody, SignParts, UploadStateBody

_ERRORS = refusals(400, 401, 403, 404, 413, 422, 500, 503)
_ERRORS |= refusals(409, description="No upload in parts, or one that is over")

router = APIRouter(prefix="/v1/jobs/{job_id}/upload", tags=["uploads"], responses=_ERRORS)


@router.get("")
def get_upload(job_id: str, services: ServicesDep, key: Reader) -> UploadStateBody:
    """Which parts have arrived: after an interruption, send the others and go on."""
    return UploadStateBody.of(services.jobs.uploads.state(services.jobs.ref(key.tenant, job_id)))


@router.post("/parts")
def sign_parts(job_id: str, body: SignParts, services: ServicesDep, key: Writer) -> SignedPartsBody:
    """Addresses to PUT parts to, in any order, side by side, and again where one fails."""
    ref = services.jobs.ref(key.tenant, job_id)
    parts, expires_at = services.jobs.uploads.sign(ref, body.numbers)
    return SignedPartsBody(parts=[PartBody.of(part) for part in parts], expires_at=expires_at)


@router.post("/complete", response_model_exclude_none=True)
def complete_upload(job_id: str, services: ServicesDep, key: Writer) -> JobBody:
    """Join the parts; the transcription starts by itself. May be repeated.

    409 `upload_incomplete` names parts that are missing.
    """
    services.jobs.uploads.complete(services.jobs.ref(key.tenant, job_id))
    return JobBody.of(services.jobs.view(key.tenant, job_id))


@router.delete("", response_model_exclude_none=True)
def abort_upload(job_id: str, services: ServicesDep, key: Writer) -> JobBody:
    """Give the upload up: its parts are dropped, and the job is cancelled."""
    services.jobs.uploads.abort(services.jobs.ref(key.tenant, job_id))
    return JobBody.of(services.jobs.view(key.tenant, job_id))
