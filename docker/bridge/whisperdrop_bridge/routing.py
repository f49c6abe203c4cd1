"""Which queue hears of what: the rules of infra/storage.yaml, for a store that has one webhook.

``uploads/`` and ``inbox/`` → bulk, ``jobs/…/outcome.json`` → notify, one message an object. Of a
record only what a reader of the queue needs goes on, so that SQS cannot refuse a message for its
size or its characters: MinIO would repeat it for ever, and what stands behind it would wait.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from whisperdrop.domain.events import MalformedEventError, created_keys
from whisperdrop.domain.keys import parse_media_key, parse_outcome_key

_MAX_KEY_BYTES = 1024  # of S3
_CORRELATION = "x-amz-meta-correlation-id"
_MAX_CORRELATION_CHARS = 128


class Destination(StrEnum):
    """A queue."""

    BULK = "bulk"
    NOTIFY = "notify"


@dataclass(frozen=True)
class Forward:
    """A message for a queue, and what a log line should say of it."""

    destination: Destination
    body: str
    key: str
    correlation_id: str | None


@dataclass
class Routed:
    """What became of a webhook's records."""

    forwards: list[Forward] = field(default_factory=list)
    ignored: int = 0
    """Other events, buckets and prefixes."""
    garbage: list[str] = field(default_factory=list)
    """What is wrong with each record, or with the whole."""


def route(body: bytes, *, bucket: str) -> Routed:
    """Sort the records of a webhook; a bad one spoils no other."""
    routed = Routed()
    try:
        text = body.decode()
        whole = json.loads(text)
        if isinstance(whole, dict) and isinstance(whole.get("Records"), list):
            records = whole["Records"]
        else:
            routed.ignored += len(created_keys(text, bucket=bucket)) or 1  # a test event
            return routed
    except (ValueError, RecursionError, MalformedEventError) as error:
        routed.garbage.append(f"not an event: {error}")
        return routed
    for record in records:
        _sort(record, bucket, routed)
    return routed


def _sort(record: Any, bucket: str, routed: Routed) -> None:
    try:
        found = created_keys(json.dumps({"Records": [record]}), bucket=bucket)
    except (MalformedEventError, RecursionError) as error:
        routed.garbage.append(str(error))
        return
    for key in found:
        destination = _destination(key)
        if destination is None:
            routed.ignored += 1
        else:
            routed.forwards.append(
                Forward(destination, _message(record), key, _correlation_id(record))
            )
    if not found:
        routed.ignored += 1


def _destination(key: str) -> Destination | None:
    if len(key.encode(errors="surrogatepass")) > _MAX_KEY_BYTES:
        return None
    if key.startswith(("uploads/", "inbox/")) and parse_media_key(key) is not None:
        return Destination.BULK
    return Destination.NOTIFY if parse_outcome_key(key) is not None else None


def _message(record: dict[str, Any]) -> str:
    """The record without what nobody reads: addresses, users, metadata."""
    s3 = record["s3"]
    return json.dumps(
        {
            "Records": [
                {
                    "eventSource": "minio:s3",
                    "eventName": "ObjectCreated:Put",
                    "s3": {
                        "bucket": {"name": s3["bucket"]["name"]},
                        "object": {"key": s3["object"]["key"]},
                    },
                }
            ]
        }
    )


def _correlation_id(record: dict[str, Any]) -> str | None:
    """As MinIO repeats it from the object's metadata, whatever the case of its name."""
    metadata = record["s3"]["object"].get("userMetadata")
    if not isinstance(metadata, dict):
        return None
    found = (value for name, value in metadata.items() if name.lower() == _CORRELATION)
    value = next(found, None)
    return value[:_MAX_CORRELATION_CHARS] if isinstance(value, str) else None
