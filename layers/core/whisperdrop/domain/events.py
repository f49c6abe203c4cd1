"""One parser for every message that says "there is work".

S3 through SQS, S3 through EventBridge, a MinIO webhook, and our own direct messages become job
references. Record keys are URL-encoded in three ways by AWS, LocalStack and moto or MinIO, and
``unquote_plus`` reads all three; EventBridge does not encode keys.
References: S3 User Guide, "Event message structure"; MinIO, "Bucket notifications".
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from urllib.parse import unquote_plus

from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.keys import MAX_PARTS, Drop, parse_media_key


@dataclass(frozen=True)
class SpanRef:
    """One span of a long recording that several workers share."""

    job: JobRef
    n: int


Work = JobRef | Drop | SpanRef


class MalformedEventError(ValueError):
    """The message is of no kind that we know; it belongs in the dead-letter queue."""


class _Kind(Protocol):
    """One kind of message: does ``body`` look like it, and which objects does it name?"""

    @staticmethod
    def infer(body: dict[str, Any]) -> bool: ...

    @staticmethod
    def work(body: dict[str, Any], bucket: str) -> Iterator[Work]: ...


class _Direct:
    """Sent by our own API and sweep."""

    KIND: ClassVar[str] = "whisperdrop.job"

    @staticmethod
    def infer(body: dict[str, Any]) -> bool:
        return body.get("kind") == _Direct.KIND

    @staticmethod
    def work(body: dict[str, Any], bucket: str) -> Iterator[Work]:  # noqa: ARG004 – same shape for all
        yield JobRef(body["tenant"], body["job_id"])


class _Span:
    """Sent by the worker that has planned a long recording."""

    KIND: ClassVar[str] = "whisperdrop.span"

    @staticmethod
    def infer(body: dict[str, Any]) -> bool:
        return body.get("kind") == _Span.KIND

    @staticmethod
    def work(body: dict[str, Any], bucket: str) -> Iterator[Work]:  # noqa: ARG004 – same shape for all
        n = body["n"]
        if type(n) is not int or not 0 <= n < MAX_PARTS:
            raise MalformedEventError(f"not the number of a span: {n!r}")
        yield SpanRef(JobRef(body["tenant"], body["job_id"]), n)


class _S3Test:
    """Sent once when a notification is configured; it has no Records."""

    @staticmethod
    def infer(body: dict[str, Any]) -> bool:
        return body.get("Event") == "s3:TestEvent"

    @staticmethod
    def work(body: dict[str, Any], bucket: str) -> Iterator[Work]:  # noqa: ARG004 – same shape for all
        yield from ()


class _S3Records:
    """S3 notifications and MinIO webhooks."""

    @staticmethod
    def infer(body: dict[str, Any]) -> bool:
        return isinstance(body.get("Records"), list)

    @staticmethod
    def keys(body: dict[str, Any], bucket: str) -> Iterator[str]:
        """Keys of the objects that were created in ``bucket``."""
        for record in body["Records"]:
            if "s3" not in record:
                raise MalformedEventError("a record that is not from S3")
            event = str(record.get("eventName", "")).removeprefix("s3:")
            if event.startswith("ObjectCreated") and record["s3"]["bucket"]["name"] == bucket:
                yield unquote_plus(record["s3"]["object"]["key"])

    @staticmethod
    def work(body: dict[str, Any], bucket: str) -> Iterator[Work]:
        for key in _S3Records.keys(body, bucket):
            if work := parse_media_key(key):
                yield work


class _EventBridge:
    """S3 events that came through EventBridge."""

    @staticmethod
    def infer(body: dict[str, Any]) -> bool:
        return body.get("source") == "aws.s3" and "detail" in body

    @staticmethod
    def keys(body: dict[str, Any], bucket: str) -> Iterator[str]:
        """Key of the object that was created in ``bucket``."""
        detail = body["detail"]
        if body.get("detail-type") == "Object Created" and detail["bucket"]["name"] == bucket:
            yield detail["object"]["key"]

    @staticmethod
    def work(body: dict[str, Any], bucket: str) -> Iterator[Work]:
        for key in _EventBridge.keys(body, bucket):
            if work := parse_media_key(key):
                yield work


_KINDS: tuple[type[_Kind], ...] = (_Direct, _Span, _S3Records, _EventBridge, _S3Test)


def direct_message(ref: JobRef, correlation_id: str | None = None) -> str:
    """The body of our own message for ``ref``; ``correlation_id`` is for whoever reads the queue.

    A worker takes the id from the job's request.
    """
    body = {"kind": _Direct.KIND, "tenant": ref.tenant, "job_id": ref.job_id}
    return json.dumps(body | ({"correlation_id": correlation_id} if correlation_id else {}))


def span_message(span: SpanRef) -> str:
    """The body of our own message for ``span``."""
    ref = span.job
    body = {"kind": _Span.KIND, "tenant": ref.tenant, "job_id": ref.job_id, "n": span.n}
    return json.dumps(body)


def parse_event(text: str, *, bucket: str) -> list[Work]:
    """The work that a queue message names; empty for test events and for foreign objects.

    Objects of other buckets, other prefixes and other event names are not ours to judge and are
    passed over. Raises MalformedEventError for a message of no known kind.
    """
    with _malformed(text):
        body = json.loads(text)
        kind = next(kind for kind in _KINDS if kind.infer(body))
        return list(kind.work(body, bucket))


def created_keys(text: str, *, bucket: str) -> list[str]:
    """Keys of the objects of ``bucket`` whose creation a message from the store announces.

    Raises MalformedEventError for a message of no known kind.
    """
    with _malformed(text):
        body = json.loads(text)
        if _S3Test.infer(body):
            return []
        kind = next(kind for kind in (_S3Records, _EventBridge) if kind.infer(body))
        return list(kind.keys(body, bucket))


@contextlib.contextmanager
def _malformed(text: str) -> Iterator[None]:
    """Whatever a stranger's JSON makes our reading of it raise, as one error."""
    try:
        yield
    except MalformedEventError:
        raise
    except (
        *(ValueError, KeyError, TypeError, AttributeError, StopIteration),
        RecursionError,  # brackets without end
    ) as error:
        raise MalformedEventError(f"not an event that we know: {text[:200]!r}") from error
