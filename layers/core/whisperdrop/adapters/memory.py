"""The ports in memory: for tests of the services, held to the same contracts as the real ones."""

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from whisperdrop.errors import LostRaceError, MediaTooLargeError
from whisperdrop.ports import (
    Clock,
    Folders,
    Message,
    ObjectInfo,
    QueueDepth,
    StoredObject,
    UploadedPart,
)

_BINARY = "application/octet-stream"


@dataclass(frozen=True)
class _Object:
    body: bytes
    info: ObjectInfo


@dataclass(frozen=True)
class _Multipart:
    content_type: str
    metadata: dict[str, str] = field(default_factory=dict)
    parts: dict[int, bytes] = field(default_factory=dict)


class MemoryObjectStore:
    """A bucket in a dictionary; atomic under one lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._objects: dict[str, _Object] = {}
        self._multipart: dict[tuple[str, str], _Multipart] = {}
        self._begun = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> StoredObject | None:
        found = self._objects.get(key)
        return StoredObject(found.body, found.info.etag) if found else None

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        found = self._objects.get(key)
        return found.body[start : start + length] if found else None

    def head(self, key: str) -> ObjectInfo | None:
        found = self._objects.get(key)
        return found.info if found else None

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        content_type: str = _BINARY,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        data = body if isinstance(body, bytes) else body.read()
        with self._lock:
            self._write(key, data, content_type, metadata)

    def create(self, key: str, body: bytes, content_type: str = "application/json") -> str:
        with self._lock:
            if key in self._objects:
                raise LostRaceError(f"{key} was written by somebody else")
            return self._write(key, body, content_type)

    def replace(
        self, key: str, body: bytes, etag: str, content_type: str = "application/json"
    ) -> str:
        with self._lock:
            found = self._objects.get(key)
            if found is None or found.info.etag != etag:
                raise LostRaceError(f"{key} was written by somebody else")
            return self._write(key, body, content_type)

    def _write(
        self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> str:
        etag = _etag(body)
        info = ObjectInfo(
            key, len(body), etag, self._clock(), dict(metadata or {}), content_type=content_type
        )
        self._objects[key] = _Object(body, info)
        return etag

    def delete(self, key: str) -> None:
        with self._lock:
            self._objects.pop(key, None)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._lock:
            keys = sorted(key for key in self._objects if key.startswith(prefix))
            infos = [self._objects[key].info for key in keys]
        yield from infos

    def list_folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        with self._lock:
            below = [key[len(prefix) :] for key in self._objects if key.startswith(prefix)]
        folders = {name + slash for name, slash, _ in (k.partition("/") for k in below) if slash}
        later = sorted(folder for folder in folders if not after or folder > f"{after}/")
        return Folders(tuple(folder[:-1] for folder in later[:limit]), len(later) > limit)

    def create_multipart(
        self, key: str, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> str:
        with self._lock:
            self._begun += 1
            upload_id = f"upload-{self._begun}"
            self._multipart[key, upload_id] = _Multipart(content_type, dict(metadata or {}))
        return upload_id

    def begun_uploads(self) -> int:
        """Uploads in parts that were neither completed nor aborted."""
        return len(self._multipart)

    def put_part(self, key: str, upload_id: str, number: int, body: bytes) -> None:
        """What a client does with a presigned part."""
        with self._lock:
            self._multipart[key, upload_id].parts[number] = body

    def list_multipart(self, key: str, upload_id: str) -> tuple[UploadedPart, ...] | None:
        with self._lock:
            upload = self._multipart.get((key, upload_id))
            if upload is None:
                return None
            return tuple(
                UploadedPart(number, len(body), _etag(body))
                for number, body in sorted(upload.parts.items())
            )

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> bool:
        with self._lock:
            upload = self._multipart.pop((key, upload_id), None)
            if upload is None:
                return False
            body = b"".join(upload.parts[part.number] for part in parts)
            self._write(key, body, upload.content_type, upload.metadata)
        return True

    def abort_multipart(self, key: str, upload_id: str) -> None:
        with self._lock:
            self._multipart.pop((key, upload_id), None)

    def download(self, key: str, path: Path, max_bytes: int | None = None) -> int | None:
        found = self._objects.get(key)
        if found and max_bytes is not None and found.info.size > max_bytes:
            raise MediaTooLargeError.over(found.info.size, max_bytes)
        return path.write_bytes(found.body) if found else None


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


@dataclass
class _Queued:
    body: str
    number: int
    sent_at: datetime
    visible_at: float = 0.0
    receives: int = 0
    receipt: str = field(default="")


class MemoryJobQueue:
    """At-least-once delivery with visibility, driven by the injected clock; never waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._messages: list[_Queued] = []
        self._sent = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._messages)

    def send(self, body: str, *, delay_s: int = 0) -> None:
        now = self._clock()
        visible_at = now.timestamp() + delay_s if delay_s else 0.0
        with self._lock:
            self._sent += 1
            self._messages.append(_Queued(body, self._sent, now, visible_at))

    def receive(self, *, wait_s: int, visibility_s: int) -> Message | None:  # noqa: ARG002 – port
        now = self._clock().timestamp()
        with self._lock:
            for message in self._messages:
                if message.visible_at <= now:
                    message.visible_at = now + visibility_s
                    message.receives += 1
                    message.receipt = f"{message.number}:{message.receives}"
                    return Message(message.body, message.receipt, message.receives, message.sent_at)
        return None

    def delete(self, message: Message) -> None:
        with self._lock:
            self._messages = [m for m in self._messages if m.receipt != message.receipt]

    def depth(self) -> QueueDepth:
        now = self._clock().timestamp()
        with self._lock:
            visible = sum(message.visible_at <= now for message in self._messages)
            return QueueDepth(visible, len(self._messages) - visible)

    def extend(self, message: Message, visibility_s: int) -> None:
        with self._lock:
            for queued in self._messages:
                if queued.receipt == message.receipt:
                    queued.visible_at = self._clock().timestamp() + visibility_s
