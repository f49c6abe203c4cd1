"""boto3 clients, made in one place. Endpoints come from ``AWS_ENDPOINT_URL*`` and nowhere else."""

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from whisperdrop.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

_DOCUMENT_BYTES = 1 << 20

AddressingStyle = Literal["auto", "path", "virtual"]


def _config(addressing_style: AddressingStyle = "auto") -> Config:
    return Config(
        # The default signs presigned URLs in us-east-1 with SigV2 and drops size and type.
        signature_version="s3v4",
        s3={"addressing_style": addressing_style},
        retries={"mode": "standard", "total_max_attempts": 5},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=64,
        # Not every S3-compatible store takes checksums in trailers; TLS and SigV4 remain.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def s3_client(
    *, addressing_style: AddressingStyle = "auto", endpoint_url: str | None = None
) -> "S3Client":
    """An S3 client; ``endpoint_url`` only where clients see another address than we do."""
    client = boto3.client("s3", config=_config(addressing_style), endpoint_url=endpoint_url)
    client.meta.events.register_last("before-call.s3.PutObject", _send_documents_at_once)
    return client


def _send_documents_at_once(params: dict[str, Any], **_: Any) -> None:
    """Drop ``Expect: 100-continue`` from small writes: it costs each document a round trip."""
    body = params.get("body")
    if isinstance(body, io.BytesIO) and body.getbuffer().nbytes <= _DOCUMENT_BYTES:
        params["headers"].pop("Expect", None)


def presigned_origins(client: "S3Client", bucket: str) -> tuple[str, ...]:
    """Scheme and host of the addresses that ``client`` presigns for ``bucket``.

    As botocore makes them, since they follow from endpoint, region and addressing style together.
    """
    with store_errors("signing for storage"):
        get = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "any"})
        form = client.generate_presigned_post(bucket, "any")["url"]
    found = (urlsplit(url) for url in (get, form))
    return tuple(sorted({f"{url.scheme}://{url.netloc}" for url in found}))


def sqs_client(*, answer_within_s: float | None = None) -> "SQSClient":
    """An SQS client; with ``answer_within_s``, one short attempt for a caller who asks again."""
    config = _config().merge(Config(signature_version="v4"))
    if answer_within_s is not None:
        config = config.merge(
            Config(
                connect_timeout=answer_within_s,
                read_timeout=answer_within_s,
                retries={"mode": "standard", "total_max_attempts": 1},
            )
        )
    return boto3.client("sqs", config=config)


def ecs_client() -> "ECSClient":
    """An ECS client; what it fails to start is asked for again at the next wake-up."""
    return boto3.client("ecs", config=_config().merge(Config(signature_version="v4")))


def error_code(error: ClientError) -> tuple[str, int]:
    """The service's error code and the HTTP status."""
    response = error.response
    return (
        response.get("Error", {}).get("Code", ""),
        response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
    )


@contextlib.contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Turn what botocore raises after its own retries into StoreError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreError(f"{what} failed; try again in a moment") from error
