"""Webhooks: where a tenant wants to be told, what is said, and how far the telling is."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import Outcome

MAX_SECRETS = 3
"""Secrets that sign at the same time: the newest, and those that it replaced a little while ago."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Webhook(_Document):
    """``webhooks/{tenant}.json``: where a tenant is told of every job without a webhook of its own.

    It has no secret: whoever ends a job reads it, to know whether a notification is wanted.
    """

    version: int = 1
    url: str
    updated_at: AwareDatetime


class SigningSecret(_Document):
    """A secret in the form ``whsec_…``, and how long it still signs once it was replaced."""

    secret: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None

    def live(self, now: datetime) -> bool:
        """Whether deliveries are signed with it."""
        return self.expires_at is None or now < self.expires_at


class SigningSecrets(_Document):
    """``webhook-secrets/{tenant}.json``: what a tenant's deliveries are signed with."""

    version: int = 1
    secrets: tuple[SigningSecret, ...] = Field(min_length=1, description="Newest first")
    rev: str = Field(description="Random, so that equal contents never share an ETag")

    @property
    def current(self) -> str:
        """The one to verify with."""
        return self.secrets[0].secret

    def live(self, now: datetime) -> tuple[str, ...]:
        """Those that sign now, newest first."""
        return tuple(s.secret for s in self.secrets if s.live(now))

    def replaced_by(
        self, secret: str, now: datetime, overlap_until: datetime, rev: str
    ) -> "SigningSecrets":
        """With ``secret`` in front; the one before it signs too until ``overlap_until``."""
        former = tuple(
            s if s.expires_at else s.model_copy(update={"expires_at": overlap_until})
            for s in self.secrets
            if s.secret != secret and s.live(now)
        )
        newest = SigningSecret(secret=secret, created_at=now)
        return SigningSecrets(secrets=(newest, *former)[:MAX_SECRETS], rev=rev)


class NotificationState(StrEnum):
    """How far the notification of one outcome is."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    STOPPED = "stopped"
    """The target answered 410, or nobody wants to be told any more."""
    GAVE_UP = "gave_up"


class Notification(_Document):
    """``jobs/{tenant}/{job}/notification.json``: compare and swap; who delivers, and when.

    A marker under ``notifications/`` that begins with ``next_at`` stands for it while it waits.
    """

    version: int = 1
    state: NotificationState = NotificationState.WAITING
    attempts: int = Field(0, description="Deliveries that began, ever; numbers the log")
    tries: int = Field(0, description="Those that failed since the delivery was last asked for")
    next_at: AwareDatetime
    owner: str | None = None
    lease_expires_at: AwareDatetime | None = None
    rev: str = ""

    def held(self, now: datetime) -> bool:
        """Whether somebody may be delivering at this moment."""
        return self.lease_expires_at is not None and now < self.lease_expires_at

    @property
    def waiting(self) -> bool:
        """Whether there is something left to do."""
        return self.state is NotificationState.WAITING


class Delivery(_Document):
    """``jobs/{tenant}/{job}/deliveries/{n}.json``: write-once; one attempt and what came of it."""

    id: str = Field(description="The `webhook-id`, the same for every attempt")
    attempt: int = Field(ge=1)
    at: AwareDatetime
    url: str
    status: int | None = Field(None, description="The target's HTTP status, if it answered")
    error: str | None = Field(None, description="Why it does not count as delivered")
    ms: int = Field(description="Milliseconds that it took")
    delivered: bool
    correlation_id: str | None = Field(None, description="Of the request that made the job")


def webhook_id(ref: JobRef) -> str:
    """The same for every attempt to tell of a job's end: receivers know repetitions by it."""
    return f"job_{ref.job_id}"


def event_of(outcome: Outcome) -> dict[str, Any]:
    """What is said of a job's end; made from the outcome alone, so every attempt says the same."""
    job = outcome.model_dump(
        mode="json",
        include={
            *("job_id", "status", "model", "name", "created_at", "started_at", "finished_at"),
            *("attempt", "error", "usage", "metadata"),
        },
        exclude_none=True,
    )
    path = f"/v1/jobs/{outcome.job_id}"
    links = {"self": path, "transcript": f"{path}/transcript", "events": f"{path}/events"}
    return {
        "type": f"job.{outcome.status}",
        "timestamp": job["finished_at"],
        "data": job | {"links": links},
    }
