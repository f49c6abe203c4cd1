"""Webhooks: where a tenant is told how its jobs ended, and what became of the telling."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from whisperdrop.domain.webhook import Delivery, NotificationState
from whisperdrop.domain.webhook_target import MAX_URL_LENGTH
from whisperdrop.errors import NotReadyError
from whisperdrop_api import examples
from whisperdrop_api.dependencies import Reader, ServicesDep, Writer
from whisperdrop_api.errors import refusals

_ERRORS = refusals(400, 401, 403, 413, 422, 500, 503)
_NOT_FOUND = refusals(404)
_CONFLICT = refusals(409, description="Not ended yet, or nobody wants to be told")

router = APIRouter(prefix="/v1", tags=["webhooks"], responses=_ERRORS)

_URL = "https://example.com/hooks/whisperdrop"
Url = Annotated[str, Field(min_length=1, max_length=MAX_URL_LENGTH)]


class PutWebhook(BaseModel):
    """Where to tell of the ends of jobs that have no webhook of their own."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"url": "https://example.com/hooks/whisperdrop"}]},
    )

    url: Url | None = Field(
        None, description="https, on the public internet; absent to leave it as it is"
    )
    secret: str | None = Field(
        None,
        max_length=200,
        description="`whsec_` and 24 to 64 random bytes in base64; made for you if there is none",
    )


class WebhookBody(BaseModel):
    """The tenant's webhook. Keep the secret to yourself: whoever has it can sign as we do."""

    model_config = examples.shown({"url": _URL, "secret": "whsec_…"})

    url: str | None = Field(description="Null where only single jobs have webhooks")
    secret: str


class TestBody(BaseModel):
    """Which URL to try; the tenant's if absent."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{}, {"url": "https://example.com/hooks/whisperdrop"}]},
    )

    url: Url | None = None


class TestedBody(BaseModel):
    """What became of the test message."""

    model_config = examples.shown(
        {"url": _URL, "delivered": True, "status": 200, "error": None, "ms": 84}
    )

    url: str
    delivered: bool
    status: int | None = Field(description="The target's HTTP status, if it answered")
    error: str | None
    ms: int


class DeliveryList(BaseModel):
    """Every attempt to tell of a job's end, in order."""

    model_config = examples.shown(
        {
            "data": [
                {
                    "id": f"job_{examples.JOB_ID}",
                    "attempt": 1,
                    "at": "2030-01-01T12:00:20Z",
                    "url": _URL,
                    "status": 204,
                    "error": None,
                    "ms": 84,
                    "delivered": True,
                }
            ],
            "state": "delivered",
            "next_at": None,
        }
    )

    data: list[Delivery]
    state: NotificationState | None = Field(
        None, description="How far the telling is; null where nothing was begun"
    )
    next_at: datetime | None = Field(None, description="Not before then is it tried again")


class RedeliveryBody(BaseModel):
    """The delivery is under way."""

    model_config = examples.shown(
        {"job_id": examples.JOB_ID, "deliveries": f"/v1/jobs/{examples.JOB_ID}/deliveries"}
    )

    job_id: str
    deliveries: str = Field(description="Where its attempts appear; a path on this host")


@router.put("/webhook")
def put_webhook(body: PutWebhook, services: ServicesDep, key: Writer) -> WebhookBody:
    """Set the tenant's default URL, its secret, or both.

    A secret that is replaced goes on signing beside the new one for 24 hours.
    """
    url, secret = services.webhooks.put(key.tenant, body.url, body.secret)
    return WebhookBody(url=url, secret=secret)


@router.get("/webhook", responses=_NOT_FOUND)
def get_webhook(services: ServicesDep, key: Writer) -> WebhookBody:
    """The tenant's URL and secret; needs a key that may write, because the secret is in it."""
    url, secret = services.webhooks.get(key.tenant)
    return WebhookBody(url=url, secret=secret)


@router.delete("/webhook", status_code=204)
def delete_webhook(services: ServicesDep, key: Writer) -> None:
    """Forget the default URL. The secret stays, for jobs with webhooks of their own."""
    services.webhooks.delete(key.tenant)


@router.post("/webhook/rotate", responses=_NOT_FOUND)
def rotate_secret(services: ServicesDep, key: Writer) -> WebhookBody:
    """Make a new secret; for 24 hours deliveries are signed with the one before it too."""
    url, secret = services.webhooks.rotate(key.tenant)
    return WebhookBody(url=url, secret=secret)


@router.post("/webhook/test", responses=_NOT_FOUND)
def try_webhook(services: ServicesDep, key: Writer, body: TestBody | None = None) -> TestedBody:
    """Send a signed message of the type `webhook.test` now, once, and say what became of it."""
    url, sent = services.webhooks.test(key.tenant, body.url if body else None)
    return TestedBody(
        url=url, delivered=sent.delivered, status=sent.status, error=sent.error, ms=sent.ms
    )


@router.get("/jobs/{job_id}/deliveries", responses=_NOT_FOUND)
def list_deliveries(job_id: str, services: ServicesDep, key: Reader) -> DeliveryList:
    """Every attempt to tell of the job's end."""
    ref = services.jobs.view(key.tenant, job_id).ref
    progress = services.notifications.progress(ref)
    return DeliveryList(
        data=list(services.notifications.deliveries(ref)),
        state=progress.state if progress else None,
        next_at=progress.next_at if progress and progress.waiting else None,
    )


@router.post("/jobs/{job_id}/redeliver", status_code=202, responses=_NOT_FOUND | _CONFLICT)
def redeliver(job_id: str, services: ServicesDep, key: Writer) -> RedeliveryBody:
    """Tell of the job's end again, from the first attempt on, whatever came of it before."""
    view = services.jobs.view(key.tenant, job_id)
    if view.outcome is None:
        raise NotReadyError(f"job {job_id} is {view.status}: there is nothing to tell yet")
    services.notifications.redeliver(view.outcome)
    return RedeliveryBody(job_id=job_id, deliveries=f"/v1/jobs/{job_id}/deliveries")
