"""Every request of the HTTP API, as flows."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Unpack, cast
from urllib.parse import quote

from whisperdrop_client.decoding import UnexpectedAnswerError, decode
from whisperdrop_client.errors import ServerError
from whisperdrop_client.flows import Answer, Flow, Request
from whisperdrop_client.models import (
    ApiKey,
    BatchItem,
    CreatedJob,
    CreatedKey,
    Cues,
    Delivery,
    Format,
    Health,
    Job,
    JobPage,
    Model,
    NewJob,
    Options,
    SignedParts,
    Transcript,
    UploadState,
    Usage,
    Webhook,
)

T = TypeVar("T")

SIGNED_AT_ONCE = 100
"""Most parts that one request signs."""


def _ask(request: Request, cls: type[T]) -> Flow[T]:
    answer: Answer = yield request
    return _read(answer, cls)


def _ask_all(request: Request, cls: type[T], key: str = "data") -> Flow[tuple[T, ...]]:
    answer: Answer = yield request
    items = _json(answer)[key]
    return tuple(decode(cls, item) for item in items)


def _tell(request: Request) -> Flow[None]:
    yield request


def _read(answer: Answer, cls: type[T]) -> T:
    try:
        return decode(cls, _json(answer))
    except UnexpectedAnswerError as error:
        raise _strange(answer) from error


def _json(answer: Answer) -> dict[str, Any]:
    try:
        body = json.loads(answer.content)
    except ValueError as error:
        raise _strange(answer) from error
    if not isinstance(body, dict):
        raise _strange(answer)
    return cast("dict[str, Any]", body)


def _strange(answer: Answer) -> ServerError:
    return ServerError(
        "the answer is none of a Whisperdrop server; is the address right?",
        status=answer.status,
        code="unexpected_answer",
        request_id=answer.headers.get("x-request-id"),
    )


def _job(job_id: str, rest: str = "") -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}{rest}"


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


# --- jobs ---------------------------------------------------------------------------------------


def create_job(
    filename: str,
    *,
    size: int | None = None,
    content_type: str | None = None,
    upload: Literal["put", "post", "multipart"] | None = None,
    model: str | None = None,
    metadata: Mapping[str, str] | None = None,
    content_sha256: str | None = None,
    webhook_url: str | None = None,
    retention_days: int | None = None,
    idempotency_key: str | None = None,
    **options: Unpack[Options],
) -> Flow[CreatedJob]:
    """Create a job. With ``content_sha256`` the server may answer one that it has already.

    Every call has an Idempotency-Key, so its own retries make one job; pass yours to be able to
    repeat the call later and get the same job with renewed addresses.
    """
    body = _given(
        {
            "filename": filename,
            "size": size,
            "content_type": content_type,
            "upload": upload,
            "model": model,
            "metadata": dict(metadata) if metadata else None,
            "content_sha256": content_sha256,
            "webhook_url": webhook_url,
            "retention_days": retention_days,
            **options,
        }
    )
    headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    return (yield from _ask(Request("POST", "/v1/jobs", json=body, headers=headers), CreatedJob))


def create_batch(jobs: Sequence[NewJob]) -> Flow[tuple[BatchItem, ...]]:
    """Create up to 100 jobs; an item that is refused carries its error, the others go on."""
    request = Request("POST", "/v1/jobs/batch", json={"jobs": list(jobs)}, repeatable=False)
    return (yield from _ask_all(request, BatchItem, "jobs"))


def get_job(job_id: str, *, wait: float = 0) -> Flow[Job]:
    """The job; with ``wait`` when it has ended, or after so many seconds."""
    params = {"wait": wait} if wait else {}
    return (yield from _ask(Request("GET", _job(job_id), params=params, waits_s=wait), Job))


def list_page(
    *,
    status: Sequence[str] = (),
    q: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Flow[JobPage]:
    """One page of the jobs, newest first. It may be short and still have a next one."""
    params = _given({"status": list(status) or None, "q": q, "limit": limit, "cursor": cursor})
    return (yield from _ask(Request("GET", "/v1/jobs", params=params), JobPage))


def cancel_job(job_id: str) -> Flow[Job]:
    """Ask for the end of a job; the job as it is then."""
    return (yield from _ask(Request("POST", _job(job_id, "/cancel")), Job))


def delete_once(job_id: str) -> Flow[bool]:
    """Ask once for a job to be deleted; False while it is still being cancelled."""
    answer: Answer = yield Request("DELETE", _job(job_id))
    return answer.status == 204


def render_transcript(
    job_id: str,
    format: Format = "json",  # noqa: A002 - as in the API
    **cues: Unpack[Cues],
) -> Flow[str]:
    """The transcript as text in one of the formats. Raises NotReadyError before the end."""
    params = {"format": format, **cues}
    answer: Answer = yield Request("GET", _job(job_id, "/transcript"), params=params)
    return answer.content.decode()


def get_transcript(job_id: str) -> Flow[Transcript]:
    """The transcript with its segments. Raises NotReadyError before the end."""
    request = Request("GET", _job(job_id, "/transcript"), params={"format": "json"})
    return (yield from _ask(request, Transcript))


# --- uploads by parts ---------------------------------------------------------------------------


def upload_state(job_id: str) -> Flow[UploadState]:
    """Which parts the store has."""
    return (yield from _ask(Request("GET", _job(job_id, "/upload")), UploadState))


def sign_parts(job_id: str, numbers: Sequence[int]) -> Flow[SignedParts]:
    """Addresses for up to 100 parts."""
    request = Request("POST", _job(job_id, "/upload/parts"), json={"numbers": list(numbers)})
    return (yield from _ask(request, SignedParts))


def complete_upload(job_id: str) -> Flow[Job]:
    """Join the parts; the transcription starts."""
    # A store may take minutes to join many parts.
    request = Request("POST", _job(job_id, "/upload/complete"), waits_s=300)
    return (yield from _ask(request, Job))


def abort_upload(job_id: str) -> Flow[None]:
    """Throw the parts away and cancel the job."""
    yield from _tell(Request("DELETE", _job(job_id, "/upload")))


# --- webhooks -----------------------------------------------------------------------------------


def set_webhook(url: str, secret: str | None = None) -> Flow[Webhook]:
    """Set where this tenant's jobs report their end; a secret is made if none is given."""
    request = Request("PUT", "/v1/webhook", json=_given({"url": url, "secret": secret}))
    return (yield from _ask(request, Webhook))


def get_webhook() -> Flow[Webhook]:
    """The tenant's webhook, with its secret."""
    return (yield from _ask(Request("GET", "/v1/webhook"), Webhook))


def delete_webhook() -> Flow[None]:
    """Report nowhere."""
    yield from _tell(Request("DELETE", "/v1/webhook"))


def test_webhook() -> Flow[None]:
    """Send a message of the kind ``test`` to the webhook."""
    yield from _tell(Request("POST", "/v1/webhook/test", repeatable=False))


def deliveries(job_id: str) -> Flow[tuple[Delivery, ...]]:
    """Every attempt to report the end of a job."""
    return (yield from _ask_all(Request("GET", _job(job_id, "/deliveries")), Delivery))


def redeliver(job_id: str) -> Flow[None]:
    """Report the end of a job once more."""
    yield from _tell(Request("POST", _job(job_id, "/redeliver"), repeatable=False))


# --- keys and the rest --------------------------------------------------------------------------


def create_key(
    name: str,
    *,
    scopes: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    max_upload_bytes: int | None = None,
    tenant: str | None = None,
) -> Flow[CreatedKey]:
    """Make a key (scope ``admin``); it is shown once. ``tenant`` is for the operator's key."""
    body = _given(
        {
            "name": name,
            "scopes": list(scopes) if scopes is not None else None,
            "models": list(models) if models is not None else None,
            "max_upload_bytes": max_upload_bytes,
            "tenant": tenant,
        }
    )
    return (yield from _ask(Request("POST", "/v1/keys", json=body, repeatable=False), CreatedKey))


def list_keys() -> Flow[tuple[ApiKey, ...]]:
    """The keys that this one may manage, those that were revoked too."""
    return (yield from _ask_all(Request("GET", "/v1/keys"), ApiKey))


def revoke_key(digest: str) -> Flow[None]:
    """Refuse a key from now on."""
    yield from _tell(Request("DELETE", f"/v1/keys/{quote(digest, safe='')}"))


def list_models() -> Flow[tuple[Model, ...]]:
    """The models that this key may use; the first is the default."""
    return (yield from _ask_all(Request("GET", "/v1/models"), Model))


def usage(month: str | None = None) -> Flow[Usage]:
    """What was used in a month, ``yyyy-mm``; in this one if none is named."""
    return (yield from _ask(Request("GET", "/v1/usage", params=_given({"month": month})), Usage))


def health() -> Flow[Health]:
    """Whether the server is there, and what its workers have loaded."""
    return (yield from _ask(Request("GET", "/health"), Health))
