"""The dispatcher's environment."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from whisperdrop.settings import MetricsSettings, Names, PulseSettings, WebhookSettings


class SweepSettings(WebhookSettings, MetricsSettings, PulseSettings):
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


class FleetSettings(SweepSettings):
    """Workers that are started when something waits."""

    fleet_cluster: str | None = None
    """ECS cluster in which workers are started, by name or ARN. Without it there is no fleet, and
    the dispatcher only sweeps."""

    fleet_task_definition: str = "whisperdrop-worker"
    """Task definition of a worker: family, family:revision, or ARN."""

    fleet_capacity_providers: Names = ()
    """Where machines come from, comma-separated, the best first (Spot, then on demand): what one of
    them does not have is asked of the next."""

    fleet_subnets: Names = ()
    """Subnets of the workers, comma-separated; without them a task has its machine's network."""

    fleet_security_groups: Names = ()
    """Security groups of the workers, comma-separated."""

    fleet_max_workers: int = Field(4, ge=0)
    """Workers at a time, at most; 0 starts none."""

    fleet_worker_speed: float = Field(20, gt=0)
    """Seconds of audio that one worker transcribes in a second, all of its jobs together: measure
    yours. Too small a number starts too many workers, too large a one too few."""

    fleet_target_seconds: float = Field(600, gt=0)
    """How soon a backlog should be done, in seconds: less starts more workers for a shorter time.
    """

    fleet_start_seconds: float = Field(180, ge=1)
    """How long it takes from the wish for a worker until it works, in seconds. One that has not
    come after three times that, and five minutes at least, is waited for no longer."""

    fleet_queues: Literal["both", "interactive", "bulk"] = "both"
    """Which queues the fleet's workers take jobs from; what other workers do starts none."""

    fleet_interval_seconds: float = Field(15, gt=0)
    """Time between two looks where the dispatcher is a process of its own; in Lambda events and a
    schedule wake it."""

    @field_validator(
        "fleet_capacity_providers", "fleet_subnets", "fleet_security_groups", mode="before"
    )
    @classmethod
    def _names(cls, value: Any) -> Any:
        return cls._split(value)

    @model_validator(mode="after")
    def _fleet_is_complete(self) -> Self:
        if self.fleet_cluster is not None and not self.fleet_capacity_providers:
            raise ValueError(
                "FLEET_CLUSTER needs FLEET_CAPACITY_PROVIDERS, where machines come from"
            )
        return self
