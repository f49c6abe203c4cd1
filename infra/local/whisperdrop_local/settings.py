"""The environments of the embedded stack and of compose's keeper.

Whatever else is set goes on to the stack's processes as it is.
"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from whisperdrop.settings import CoreSettings


class StackSettings(BaseSettings):
    """What `make run` and `make demo` read."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    port: int = Field(8000, ge=0, le=65535)
    """Port of the API on 127.0.0.1; 0 takes a free one."""

    emulator_port: int = Field(4566, ge=0, le=65535)
    """Port of the S3 and SQS emulator on 127.0.0.1; 0 takes a free one."""

    data_dir: Path = Path(".local")
    """Directory for everything that lasts: objects, models, logs."""

    api_key: SecretStr = SecretStr("change-me")
    """The API key. The default is public, which is why the stack listens on loopback only."""

    ministack: Path = Path(".venv-emulator/bin/ministack")
    """The emulator's executable; it lives in an environment of its own."""

    lease_seconds: int = Field(30, ge=3)
    """As the worker's; shorter than in production, since one machine dies and returns at once."""

    sweep_interval_seconds: float = Field(15, gt=0)
    """As the sweep's."""


class KeeperSettings(CoreSettings):
    """What compose's keeper makes, and makes again when it is gone."""

    notify_queue_url: str
    """URL of the SQS queue that wakes the notifier. Each URL ends with its queue's name."""

    queue_visibility_seconds: int = Field(120, ge=3)
    """How long a received message stays hidden, in seconds, unless its receiver says otherwise."""

    store_events_arn: str | None = None
    """Whom the bucket tells of new objects, such as `arn:minio:sqs::WHISPERDROP:webhook`. Unset:
    nobody; the bucket's notifications are left as they are, and the sweep finds what is there."""

    media_retention_days: int = Field(0, ge=0)
    """Days after which the bucket deletes what is under `uploads/` and `media/`; 0 keeps it, and
    leaves the bucket's rules as they are."""

    keep_interval_seconds: float = Field(2, gt=0)
    """How often the keeper looks, in seconds; each time is five small requests."""

    kept_file: Path = Path("/tmp/kept")  # noqa: S108 - private to its container
    """Touched whenever all is there: what the container's health check looks at."""
