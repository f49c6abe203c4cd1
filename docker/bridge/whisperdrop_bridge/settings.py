"""The bridge's environment."""

from pydantic import Field, SecretStr

from whisperdrop.settings import CoreSettings


class BridgeSettings(CoreSettings):
    """Who may post events, and where they go."""

    notify_queue_url: str
    """URL of the SQS queue that wakes the notifier; ends of jobs go there."""

    bridge_token: SecretStr = Field(min_length=8)
    """What the store sends as `Authorization: Bearer …`: MinIO's `auth_token`."""

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on."""

    max_event_bytes: int = Field(256 * 1024, ge=1024)
    """Largest event that is read, in bytes; MinIO's have some two thousand. A larger one is thrown
    away like anything else that is no event."""

    queue_timeout_seconds: float = Field(5, gt=0)
    """How long SQS may take to answer, in seconds. After that the store is told to come again;
    MinIO does so every 3 s."""
