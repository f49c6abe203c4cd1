"""What the services need of the outside world, as small as it can be.

Each port has a contract suite in tests/contract that every adapter runs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

Clock = Callable[[], datetime]
"""Returns the present moment with a time zone."""


@dataclass(frozen=True)
class ObjectInfo:
    """An object without its bytes; ``size`` in bytes."""

    key: str
    size: int
    etag: str
    modified: datetime
    metadata: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/octet-stream"


@dataclass(frozen=True)
class Folders:
    """Names between a prefix and the next ``/``, in order; ``more`` may follow the last one."""

    names: tuple[str, ...]
    more: bool


@dataclass(frozen=True)
class UploadedPart:
    """A part of a multipart upload; ``number`` counts from 1, ``size`` in bytes."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True)
class StoredObject:
    """An object with its bytes, and the ETag to swap it with."""

    body: bytes
    etag: str


class ObjectStore(Protocol):
    """One bucket. Every method raises StoreError when the store fails after its retries."""

    def get(self, key: str) -> StoredObject | None:
        """The object, or None."""
        ...

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        """At most ``length`` bytes, 1 or more, from ``start`` on; None when nothing is there.

        Fewer where the object ends before, none where it ends before ``start``.
        """
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """What is known of the object, or None."""
        ...

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        content_type: str = ...,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write, whatever is there; ``metadata`` in ASCII, its keys in lower case."""
        ...

    def create(self, key: str, body: bytes, content_type: str = ...) -> str:
        """Write if nothing is there; returns the ETag. Raises LostRaceError otherwise."""
        ...

    def replace(self, key: str, body: bytes, etag: str, content_type: str = ...) -> str:
        """Write if ``etag`` is still what is there; returns the new one. Raises LostRaceError."""
        ...

    def delete(self, key: str) -> None:
        """Remove; nothing happens when nothing is there."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object under ``prefix``, in key order, without metadata."""
        ...

    def list_folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        """At most ``limit`` (1–1,000) names under ``prefix``, which ends with ``/``.

        In key order, those after ``after`` alone, however many objects each holds: one request.
        """
        ...

    def create_multipart(
        self, key: str, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> str:
        """Begin an upload in parts; its id. Nothing is under ``key`` until it is completed."""
        ...

    def list_multipart(self, key: str, upload_id: str) -> tuple[UploadedPart, ...] | None:
        """The parts that have arrived, in order; None when the upload was completed or aborted."""
        ...

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> bool:
        """Make the object of all its ``parts``; False when the upload was completed or aborted."""
        ...

    def abort_multipart(self, key: str, upload_id: str) -> None:
        """Drop the upload and its parts; nothing happens when there is none."""
        ...

    def download(self, key: str, path: Path, max_bytes: int | None = None) -> int | None:
        """Write the object to ``path`` in constant memory; its size, or None when not there.

        Raises MediaTooLargeError, before it reads, when there are more than ``max_bytes``.
        """
        ...


@dataclass(frozen=True)
class PresignedUpload:
    """What a client has to do to put its bytes into the bucket."""

    method: str
    url: str
    headers: dict[str, str]
    fields: dict[str, str]


class Presigner(Protocol):
    """Signs what clients exchange straight with the bucket."""

    def presign_put(
        self,
        key: str,
        *,
        size: int,
        content_type: str,
        expires_s: int,
        metadata: Mapping[str, str] | None = None,
    ) -> PresignedUpload:
        """A PUT of exactly ``size`` bytes and this type, refused where an object already is.

        The object gets ``metadata``; a PUT that says something else of it is refused.
        """
        ...

    def presign_post(
        self,
        key: str,
        *,
        max_size: int,
        content_type: str,
        expires_s: int,
        metadata: Mapping[str, str] | None = None,
    ) -> PresignedUpload:
        """A form POST of 1 to ``max_size`` bytes, this type and ``metadata``."""
        ...

    def presign_part(
        self, key: str, *, upload_id: str, number: int, size: int, expires_s: int
    ) -> PresignedUpload:
        """A PUT of exactly ``size`` bytes as a part of a multipart upload; it may be repeated."""
        ...

    def presign_get(self, key: str, *, name: str, expires_s: int) -> str:
        """Address of the object, ranges included; a browser saves it as ``name``."""
        ...


@dataclass(frozen=True)
class Message:
    """A received message. ``receives`` counts deliveries, this one included."""

    body: str
    receipt: str
    receives: int
    sent_at: datetime | None = None
    """When it was queued, as the queue has it."""


class JobQueue(Protocol):
    """At least once, unordered. Every method raises StoreError when the queue fails."""

    def send(self, body: str, *, delay_s: int = 0) -> None:
        """Add a message that can be received ``delay_s`` seconds from now, at most 900."""
        ...

    def receive(self, *, wait_s: int, visibility_s: int) -> Message | None:
        """One message, hidden from others for ``visibility_s``; None after ``wait_s`` without."""
        ...

    def delete(self, message: Message) -> None:
        """Done with it."""
        ...

    def extend(self, message: Message, visibility_s: int) -> None:
        """Hide it for ``visibility_s`` from now; 0 hands it back at once."""
        ...


@dataclass(frozen=True)
class QueueDepth:
    """How many messages a queue has, about: queues count late."""

    visible: int
    in_flight: int
    dead: int | None = None
    """In its dead-letter queue; None where there is none, or none that may be looked at."""


class QueueMeter(Protocol):
    """A queue, for whoever only counts. Raises StoreError when the queue fails."""

    def depth(self) -> QueueDepth:
        """What is in it now."""
        ...


@dataclass(frozen=True)
class FleetTask:
    """A task of the fleet: one worker, from the wish for it to its end."""

    id: str
    state: Literal["starting", "running", "stopped"]
    asked_at: datetime
    provider: str | None = None
    """Where its machine comes from."""
    group: str | None = None
    """Which start it came of."""
    never_ran: bool = False
    """It stopped before it had begun: there was no machine for it, or no image."""
    why: str | None = None
    """Why it stopped, for the log."""


@dataclass(frozen=True)
class Started:
    """What came of a start: ids of tasks, and why there are not more."""

    tasks: tuple[str, ...]
    failures: tuple[str, ...] = ()
    throttled: bool = False
    """Nobody was asked about capacity: another provider would have said no more."""
    unsure: bool = False
    """More may have been started: the answer did not come."""


class TaskRunner(Protocol):
    """What runs workers."""

    def start(self, count: int, *, provider: str, group: str, token: str) -> Started:
        """Have ``count`` workers started by ``provider``.

        Repeated with the same ``token``, it starts nothing more and answers the same tasks. What
        cannot be started is said in the answer; nothing is raised for it.
        """
        ...

    def tasks(self, ids: Sequence[str] = ()) -> tuple[FleetTask, ...]:
        """Those that are to run; of ``ids``, those that have stopped too. Raises StoreError.

        A task that was started a moment ago may be missing, and one of ``ids`` that stopped long
        ago is.
        """
        ...


class UnreachableError(Exception):
    """A request to a stranger's server had no answer; the message may be shown to its owner."""


class NotConnectedError(UnreachableError):
    """There was not even a connection: nothing was sent, another address may be tried."""


@dataclass(frozen=True)
class Endpoint:
    """Where a request to a stranger goes: ``address`` is an IP address, never a name."""

    address: str
    port: int
    host: str
    """What the certificate must be for."""
    authority: str
    """What the ``Host`` header says."""
    path: str
    tls: bool = True


@dataclass(frozen=True)
class HttpAnswer:
    """As much of an answer as anybody here needs."""

    status: int
    retry_after: str | None = None


class Outbound(Protocol):
    """Requests to servers that tenants name. What may be asked is for the caller to judge."""

    def resolve(self, host: str, *, timeout_s: float) -> tuple[str, ...]:
        """Every address of ``host``, best first. Raises UnreachableError."""
        ...

    def post(
        self, endpoint: Endpoint, headers: dict[str, str], body: bytes, *, timeout_s: float
    ) -> HttpAnswer:
        """Send ``body`` to that very address, and follow nothing.

        It is over after ``timeout_s``, however the other side behaves. Raises UnreachableError.
        """
        ...
