"""The dispatcher's environment."""

from pydantic import Field

from whisperdrop.settings import WebhookSettings


class SweepSettings(WebhookSettings):
    """When the sweep acts."""

    sweep_interval_seconds: float = Field(60, gt=0)
    """Time between two passes where the sweep is a process of its own; in Lambda the schedule
    decides."""

    requeue_after_seconds: float = Field(600, gt=0)
    """A job that was queued so long ago, in seconds, and that no worker holds, is queued again; the
    time doubles with each repetition. Well above `LEASE_SECONDS`, so that a message that comes back
    by itself does so first."""

    upload_grace_seconds: float = Field(3600, ge=0)
    """How long after its address expired an upload may still arrive, in seconds: a slow upload that
    began in time may end late."""

    drop_window_seconds: float = Field(86_400, gt=0)
    """Bucket drops older than this, in seconds, are not checked for a lost event again."""
