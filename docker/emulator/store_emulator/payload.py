"""MinIO's webhook, as its sources write it (internal/event/event.go, cmd/event-notification.go).

Keys are escaped like a query (``/`` is ``%2F``, a space is ``+``); the outer ``Key`` is not.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus


def webhook(
    bucket: str,
    key: str,
    *,
    event: str = "ObjectCreated:Put",
    time: str,
    size: int = 0,
    etag: str = "",
    content_type: str = "binary/octet-stream",
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The body that MinIO posts for one object; ``metadata`` are its ``x-amz-meta-`` headers."""
    user = {"content-type": content_type}
    user |= {f"X-Amz-Meta-{name.title()}": value for name, value in (metadata or {}).items()}
    record = {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": time,
        "eventName": f"s3:{event}",
        "userIdentity": {"principalId": "whisperdrop"},
        "requestParameters": {
            "principalId": "whisperdrop",
            "region": "",
            "sourceIPAddress": "172.20.0.1",
        },
        "responseElements": {
            "x-amz-id-2": "dd9025bab4ad464b049177c95eb6ebf374d3b3fd1af9251148b658df7ac2e3e8",
            "x-amz-request-id": "1898C1C4A6E5A1D3",
            "x-minio-deployment-id": "d4b8bb5d-9b4e-4c2a-9d0e-000000000000",
            "x-minio-origin-endpoint": "http://172.20.0.2:9000",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "whisperdrop"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": quote_plus(key),
                "size": size,
                "eTag": etag,
                "contentType": content_type,
                "userMetadata": user,
                "sequencer": "1898C1C4A6F1B2C7",
            },
        },
        "source": {
            "host": "172.20.0.1",
            "port": "",
            "userAgent": "MinIO (linux; amd64) minio-go/v7.0.70",
        },
    }
    return {"EventName": f"s3:{event}", "Key": f"{bucket}/{key}", "Records": [record]}
