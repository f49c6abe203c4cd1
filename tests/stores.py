"""Thin wrappers around a store that make it fail the way real ones do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from whisperdrop.errors import LostRaceError, StoreError
from whisperdrop.ports import Folders, ObjectInfo, ObjectStore, StoredObject, UploadedPart

Answer = TypeVar("Answer")

_BINARY = "application/octet-stream"
_JSON = "application/json"


class WrappedStore:
    """Passes everything on; every write goes through ``_write``."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner

    def _write(self, key: str, write: Callable[[], Answer]) -> Answer:
        return write()

    def get(self, key: str) -> StoredObject | None:
        return self._inner.get(key)

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        return self._inner.read_range(key, start, length)

    def head(self, key: str) -> ObjectInfo | None:
        return self._inner.head(key)

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        content_type: str = _BINARY,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._write(key, lambda: self._inner.put(key, body, content_type, metadata))

    def create(self, key: str, body: bytes, content_type: str = _JSON) -> str:
        return self._write(key, lambda: self._inner.create(key, body, content_type))

    def replace(self, key: str, body: bytes, etag: str, content_type: str = _JSON) -> str:
        return self._write(key, lambda: self._inner.replace(key, body, etag, content_type))

    def delete(self, key: str) -> None:
        self._write(key, lambda: self._inner.delete(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._inner.list(prefix)

    def list_folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        return self._inner.list_folders(prefix, after=after, limit=limit)

    def create_multipart(
        self, key: str, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> str:
        return self._write(key, lambda: self._inner.create_multipart(key, content_type, metadata))

    def list_multipart(self, key: str, upload_id: str) -> tuple[UploadedPart, ...] | None:
        return self._inner.list_multipart(key, upload_id)

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> bool:
        return self._write(key, lambda: self._inner.complete_multipart(key, upload_id, parts))

    def abort_multipart(self, key: str, upload_id: str) -> None:
        self._write(key, lambda: self._inner.abort_multipart(key, upload_id))

    def download(self, key: str, path: Path, max_bytes: int | None = None) -> int | None:
        return self._inner.download(key, path, max_bytes)


class FailingStore(WrappedStore):
    """Fails at its n-th write, from 1: before it happens, or after it with the answer lost."""

    def __init__(self, inner: ObjectStore, fail_at: int, *, written: bool = False) -> None:
        super().__init__(inner)
        self.writes = 0
        self._fail_at = fail_at
        self._written = written

    def _write(self, key: str, write: Callable[[], Answer]) -> Answer:
        self.writes += 1
        if self.writes != self._fail_at:
            return write()
        if self._written:
            write()
        raise StoreError("the store failed")


class FailingKeyStore(WrappedStore):
    """Fails at every write of a key that begins so, in whatever order the writes come."""

    def __init__(self, inner: ObjectStore, prefix: str) -> None:
        super().__init__(inner)
        self._prefix = prefix

    def _write(self, key: str, write: Callable[[], Answer]) -> Answer:
        if key.startswith(self._prefix):
            raise StoreError("the store failed")
        return write()


class LostAnswerStore(WrappedStore):
    """Loses the answer of the n-th write; the client's own retry then loses to that write.

    This is what an HTTP client with retries makes of a conditional write whose answer was lost.
    """

    def __init__(self, inner: ObjectStore, lose_at: int = 1) -> None:
        super().__init__(inner)
        self.writes = 0
        self._lose_at = lose_at

    def _write(self, key: str, write: Callable[[], Answer]) -> Answer:
        self.writes += 1
        if self.writes != self._lose_at:
            return write()
        write()
        raise LostRaceError(f"{key} was written by somebody else")


class BeforeWriteStore(WrappedStore):
    """Lets somebody else act once, in the moment before a write to ``key``."""

    def __init__(self, inner: ObjectStore, key: str, meanwhile: Callable[[], object]) -> None:
        super().__init__(inner)
        self._key = key
        self._meanwhile: Callable[[], object] | None = meanwhile

    def _write(self, key: str, write: Callable[[], Answer]) -> Answer:
        if key == self._key and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        return write()


class MetadataStore(WrappedStore):
    """Objects under inbox/ carry this metadata."""

    def __init__(self, inner: ObjectStore, metadata: dict[str, str]) -> None:
        super().__init__(inner)
        self._metadata = metadata

    def head(self, key: str) -> ObjectInfo | None:
        info = self._inner.head(key)
        return info and replace(info, metadata=self._metadata)


class NoIfNoneMatchStore(WrappedStore):
    """A store that ignores ``If-None-Match``."""

    def create(self, key: str, body: bytes, content_type: str = _JSON) -> str:
        self._inner.put(key, body, content_type)
        found = self._inner.get(key)
        assert found is not None
        return found.etag


class NoIfMatchStore(NoIfNoneMatchStore):
    """A store that ignores ``If-Match``, and only that."""

    def create(self, key: str, body: bytes, content_type: str = _JSON) -> str:
        return self._inner.create(key, body, content_type)

    def replace(self, key: str, body: bytes, etag: str, content_type: str = _JSON) -> str:
        return super().create(key, body, content_type)
