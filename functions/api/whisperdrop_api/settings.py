"""The API's environment."""

from pydantic import Field

from whisperdrop.domain.upload import MAX_UPLOAD_BYTES
from whisperdrop.service.jobs import MULTIPART_EXPIRES_S
from whisperdrop.settings import KeySettings, WebhookSettings


class ApiSettings(KeySettings, WebhookSettings):
    """Limits and waiting times; their defaults suit a server, template.yaml sets a gateway's."""

    host: str = "127.0.0.1"
    """Address to listen on where the API is a server."""

    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on where the API is a server."""

    metrics_enabled: bool = True
    """Answer `/metrics` for Prometheus, without a key, where the API is a server: nothing of a
    tenant is in it. A proxy that faces the internet should not pass it on. Functions have none."""

    s3_public_endpoint: str | None = None
    """The storage's address as clients see it, when it is not the one that the API uses; presigned
    uploads point there."""

    max_upload_bytes: int = Field(MAX_UPLOAD_BYTES, ge=1)
    """Largest presigned upload, in bytes. Default: what S3 takes in parts, 5 TiB; one PUT or form
    carries 5 GiB at most. What a worker accepts is its own `MAX_MEDIA_BYTES`: a larger file is
    uploaded and then refused, so give both the same value."""

    upload_expires_seconds: int = Field(3600, ge=60, le=604_800)
    """How long a presigned upload, or a signed part of one, may begin, in seconds. In Lambda the
    role's own credentials end it earlier."""

    multipart_expires_seconds: int = Field(MULTIPART_EXPIRES_S, ge=60)
    """How long an upload in parts may take in all, in seconds; more parts are signed on demand.
    Default: 46 h. With `UPLOAD_GRACE_SECONDS` it ends before the bucket's own rule drops parts that
    are two days old."""

    max_sync_bytes: int = Field(25 * 1024**2, ge=1)
    """Largest file of a synchronous route, in bytes. Default: OpenAI's 25 MB. Behind API Gateway
    and Lambda 4.5 MB, since a payload of 6 MB carries it in base64."""

    sync_wait_seconds: float = Field(300, ge=0)
    """How long a synchronous route waits for the transcript, in seconds, before it answers 202, or
    503 on the OpenAI routes. Keep it under the 600 s after which OpenAI's SDK gives up; behind API
    Gateway 25, just under its 30 s."""

    max_sync_requests: int = Field(64, ge=1)
    """Requests of one tenant that an API process answers at a time on the OpenAI routes; one more
    gets 429. Each holds a connection and, until its job is made, its file."""

    max_wait_seconds: float = Field(60, ge=0)
    """Longest `?wait=` of a job, in seconds."""
