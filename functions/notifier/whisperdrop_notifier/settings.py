"""The notifier's environment."""

import os
import secrets
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from whisperdrop.settings import MetricsSettings, PulseSettings, WebhookSettings

_MARGIN_S = 2.0  # for the store's part of a delivery


def _fresh_id() -> str:
    return f"notifier-{os.getpid()}-{secrets.token_hex(4)}"


class NotifierSettings(WebhookSettings, MetricsSettings, PulseSettings):
    """How deliveries are shared out, and when they are tried again."""

    webhook_retry_seconds: Annotated[tuple[float, ...], NoDecode] = (
        *(5, 30, 300, 1800),
        *(7200, 18_000, 36_000, 36_000),
    )
    """Seconds between a failed delivery and the next one, comma-separated; after the last of them
    it is given up. Default: nine attempts in 28 hours."""

    notify_slots: int = Field(32, ge=1)
    """Deliveries at the same time, at most."""

    notify_slots_per_tenant: int = Field(12, ge=1)
    """Of these, for one tenant: a tenant's slow targets leave room for everybody else's."""

    notify_slots_per_host: int = Field(4, ge=1)
    """Of these, for one tenant's targets on one host."""

    notify_lease_seconds: float = Field(30, ge=1)
    """How long a notifier holds a delivery without a sign of life, in seconds; also how long its
    message stays hidden. Above `WEBHOOK_TIMEOUT_SECONDS` by 2 s or more."""

    receive_wait_seconds: int = Field(5, ge=0, le=20)
    """Long poll of the queue, in seconds: the longest that an idle notifier takes to stop."""

    shutdown_seconds: float = Field(25, gt=0)
    """After SIGTERM, how long the notifier waits for deliveries in flight."""

    notifier_id: str = Field(default_factory=_fresh_id)
    """Name of this process in claims."""

    @field_validator("webhook_retry_seconds", mode="before")
    @classmethod
    def _waits(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @model_validator(mode="after")
    def _one_at_a_time(self) -> Self:
        if self.notify_queue_url is None:
            raise ValueError("NOTIFY_QUEUE_URL names no queue")
        if any(wait < 0 for wait in self.webhook_retry_seconds):
            raise ValueError("WEBHOOK_RETRY_SECONDS has a negative number of seconds")
        if self.notify_lease_seconds < self.webhook_timeout_seconds + _MARGIN_S:
            raise ValueError(
                f"NOTIFY_LEASE_SECONDS must be {_MARGIN_S:.0f} or more above "
                "WEBHOOK_TIMEOUT_SECONDS, or a job could be told of twice at once"
            )
        return self
