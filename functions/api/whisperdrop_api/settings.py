"""The API's environment."""

from pydantic import Field

from whisperdrop.settings import KeySettings


class ApiSettings(KeySettings):
    """Limits and waiting times; their defaults suit a server, template.yaml sets a gateway's."""

    host: str = "127.0.0.1"
    """Address to listen on where the API is a server."""

    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on where the API is a server."""

    s3_public_endpoint: str | None = None
    """The storage's address as clients see it, when it is not the one that the API uses; presigned
    uploads point there."""

    max_upload_bytes: int = Field(5 * 1024**3, ge=1)
    """Largest presigned upload, in bytes. Default: what a single S3 PUT can carry."""

    upload_expires_seconds: int = Field(3600, ge=60, le=604_800)
    """How long a presigned upload may begin, in seconds. In Lambda the role's own credentials end
    it earlier."""

    max_sync_bytes: int = Field(25 * 1024**2, ge=1)
    """Largest file of a synchronous route, in bytes. Default: OpenAI's 25 MB. Behind API Gateway
    and Lambda 4.5 MB, since a payload of 6 MB carries it in base64."""

    sync_wait_seconds: float = Field(300, ge=0)
    """How long a synchronous route waits for the transcript, in seconds, before it answers 202.
    Behind API Gateway 25, just under its 30 s."""

    max_wait_seconds: float = Field(60, ge=0)
    """Longest `?wait=` of a job, in seconds."""
