"""Request bodies that are read piece by piece, once for every attempt, in constant memory."""

import hashlib
import mimetypes
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
import httpx

from whisperdrop_client.errors import SourceChangedError, StoppedError

CHUNK_BYTES = 256 * 1024

OnBytes = Callable[[int, int], None]
"""Is told how many bytes have gone out, of how many. May go back when a part is sent again."""


class Source:
    """What is to be uploaded: a file, or bytes with a name."""

    def __init__(self, media: str | os.PathLike[str] | bytes, name: str | None = None) -> None:
        self._media = media if isinstance(media, bytes) else Path(media)
        if isinstance(self._media, bytes):
            self.name = name or "audio"
            self.size = len(self._media)
        else:
            self.name = name or self._media.name
            self.size = self._media.stat().st_size

    def open(self) -> BinaryIO:
        """A new handle at the beginning."""
        return BytesIO(self._media) if isinstance(self._media, bytes) else self._media.open("rb")

    def sha256(self) -> str:
        """Of all its bytes, in hex."""
        with self.open() as file:
            digest = hashlib.sha256()
            while piece := file.read(CHUNK_BYTES):
                digest.update(piece)
            return digest.hexdigest()


class Meter:
    """Adds up what the parts of one upload have sent. Safe to share among threads."""

    def __init__(self, total: int, tell: OnBytes | None) -> None:
        self._total = total
        self._tell = tell
        self._sent = 0
        self._stopped = False
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Let every body that counts here fail at its next piece."""
        self._stopped = True

    def add(self, count: int) -> None:
        """``count`` bytes more, or fewer. Raises StoppedError after `stop`."""
        if self._stopped:
            raise StoppedError("the upload was given up")
        if self._tell is None or count == 0:
            return
        with self._lock:
            self._sent += count
            self._tell(self._sent, self._total)


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stretch of a source between a prefix and a suffix; each iteration begins anew."""

    def __init__(
        self,
        source: Source,
        start: int,
        size: int,
        meter: Meter,
        *,
        prefix: bytes = b"",
        suffix: bytes = b"",
    ) -> None:
        self._source = source
        self._start = start
        self._size = size
        self._meter = meter
        self._prefix = prefix
        self._suffix = suffix
        self._told = 0
        self.length = len(prefix) + size + len(suffix)

    def into(self, request: httpx.Request) -> httpx.Request:
        """The same request with this as its body. Its headers have the length already."""
        return httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            stream=self,
            extensions=request.extensions,
        )

    def __iter__(self) -> Generator[bytes, None, None]:
        self._meter.add(-self._told)
        self._told = 0
        yield self._prefix
        with self._source.open() as file:
            file.seek(self._start)
            while self._told < self._size:
                yield self._next(file)
        yield self._suffix

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # Closed by hand: a generator that is dropped in the middle must not keep the file open.
        pieces = iter(self)
        try:
            while (piece := await anyio.to_thread.run_sync(next, pieces, None)) is not None:
                yield piece
        finally:
            pieces.close()

    def _next(self, file: BinaryIO) -> bytes:
        piece = file.read(min(CHUNK_BYTES, self._size - self._told))
        if not piece:
            raise SourceChangedError(f"{self._source.name} became shorter while it was uploaded")
        self._told += len(piece)
        self._meter.add(len(piece))
        return piece


def form_body(
    source: Source, fields: Mapping[str, str], meter: Meter
) -> tuple[Body, dict[str, str]]:
    """A form as S3 wants it, the file last; with the headers that go with it."""
    boundary = secrets.token_hex(16)
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    kind = fields.get("Content-Type") or mimetypes.guess_type(source.name)[0]
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="media"\r\n'
        f"Content-Type: {kind or 'application/octet-stream'}\r\n\r\n"
    )
    body = Body(
        source,
        0,
        source.size,
        meter,
        prefix=head.encode(),
        suffix=f"\r\n--{boundary}--\r\n".encode(),
    )
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
