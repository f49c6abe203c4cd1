"""The samples of a span: bytes of a WAV, or the whole file decoded and the rest dropped.

Decoding is deterministic, so the samples are the same whoever decodes.
Only what needs no decoding at all is read in part: starting a lossy decoder or a resampler in the
middle gives other samples at first.
"""

import struct
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from whisperdrop.errors import MediaError, MediaMissingError
from whisperdrop.observability import tracing
from whisperdrop.ports import ObjectStore
from whisperdrop_worker.decode import Decoder
from whisperdrop_worker.decode_protocol import SAMPLE_RATE
from whisperdrop_worker.engine import Samples, SampleStream

_HEADER_BYTES = 64 * 1024
_FIRST_BYTES = 1024**2  # half a minute, so that the model can begin
_READ_BYTES = 4 * 1024**2  # two minutes at a time
_KEPT_SAMPLES = 30 * SAMPLE_RATE  # spans overlap a little
_SAMPLE_BYTES = 2
_PCM = 1
_SHORTER = "the recording is shorter than its header says"


class SpanAudio(Protocol):
    """A recording of which stretches are read; quick where each comes after the one before."""

    @property
    def expected_s(self) -> float | None:
        """Its length in seconds, as far as one knows before its end."""
        ...

    @property
    def samples(self) -> int | None:
        """Its length in samples; None until somebody came to its end."""
        ...

    def blocks(
        self, start: int, end: int | None, tick: Callable[[], None]
    ) -> Generator[Samples, None, None]:
        """Its samples from ``start`` up to ``end`` (exclusive), or up to its own end.

        ``tick`` is called for every block that is read or dropped. Raises what it raises, and what
        reading raises.
        """
        ...

    def close(self) -> None:
        """End whatever stands behind it."""
        ...


class SpanStream(Iterator[Samples]):
    """``SampleStream`` of a stretch."""

    def __init__(
        self, blocks: Generator[Samples, None, None], expected_s: float | None = None
    ) -> None:
        self.expected_s = expected_s
        self._blocks = blocks

    def __next__(self) -> Samples:
        return next(self._blocks)

    def close(self) -> None:
        """See ``SampleStream``."""
        self._blocks.close()


@dataclass(frozen=True)
class WavLayout:
    """Where the samples of a WAV lie that needs no decoding; bytes."""

    offset: int
    samples: int


def wav_layout(header: bytes) -> WavLayout | None:
    """Of a WAV of 16 kHz mono 16-bit PCM that begins with ``header``; None for anything else."""
    if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
        return None
    at, fitting = 12, False
    while at + 8 <= len(header):
        name, size = struct.unpack_from("<4sI", header, at)
        at += 8
        if name == b"fmt " and at + 16 <= len(header):
            kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", header, at)
            fitting = (kind, channels, rate, bits) == (_PCM, 1, SAMPLE_RATE, 8 * _SAMPLE_BYTES)
        if name == b"data":
            return WavLayout(at, size // _SAMPLE_BYTES) if fitting else None
        at += size + size % 2
    return None


class RangedWav:
    """Reads of a WAV in the store what is asked for."""

    def __init__(self, store: ObjectStore, key: str, layout: WavLayout) -> None:
        self._store = store
        self._key = key
        self._layout = layout
        self.expected_s: float | None = layout.samples / SAMPLE_RATE
        self.samples: int | None = layout.samples

    def blocks(
        self, start: int, end: int | None, tick: Callable[[], None]
    ) -> Generator[Samples, None, None]:
        """See ``SpanAudio``. Raises MediaError where there is less than the header says."""
        end = self._layout.samples if end is None else min(end, self._layout.samples)
        count = _FIRST_BYTES // _SAMPLE_BYTES
        while start < end:
            count = min(count, end - start)
            first = self._layout.offset + start * _SAMPLE_BYTES
            found = self._store.read_range(self._key, first, count * _SAMPLE_BYTES) or b""
            if len(found) < count * _SAMPLE_BYTES:
                raise MediaError(_SHORTER)
            tick()
            yield np.frombuffer(found, "<i2").astype(np.float32) / 32768.0
            start += count
            count = _READ_BYTES // _SAMPLE_BYTES

    def close(self) -> None:
        """See ``SpanAudio``."""


class DecodedAudio:
    """Decodes from the beginning and drops what nobody asked for; begins again to go back."""

    def __init__(self, decoder: Decoder, media: Path) -> None:
        self._decoder = decoder
        self._media = media
        self._stream: SampleStream | None = None
        # The last that was read, from sample ``_at`` on.
        self._at = 0
        self._last = np.zeros(0, np.float32)
        self.samples: int | None = None

    @property
    def expected_s(self) -> float | None:
        """See ``SpanAudio``. Raises what decoding raises."""
        if self._stream is None:
            self._stream = self._decoder.decode(self._media)
            self._read()
        return self._stream.expected_s

    def blocks(
        self, start: int, end: int | None, tick: Callable[[], None]
    ) -> Generator[Samples, None, None]:
        """See ``SpanAudio``."""
        if self.samples is not None:
            end = self.samples if end is None else min(end, self.samples)
            if start >= end:
                return
        if self._stream is None or start < self._at:
            self.close()
            self._stream = self._decoder.decode(self._media)
        while end is None or start < end:
            if start < self._at + len(self._last):
                stop = None if end is None else end - self._at
                found = self._last[start - self._at : stop]
                start += len(found)
                yield found
            elif self._read():
                tick()
            else:
                return

    def close(self) -> None:
        """See ``SpanAudio``."""
        if self._stream is not None:
            self._stream.close()
        self._stream, self._at, self._last = None, 0, np.zeros(0, np.float32)

    def _read(self) -> bool:
        """One more block; False at the end."""
        assert self._stream is not None  # noqa: S101 - whoever calls it has opened it
        block = next(self._stream, None)
        if block is None:
            self.samples = self._at + len(self._last)
            return False
        kept = self._last[-_KEPT_SAMPLES:]
        self._at += len(self._last) - len(kept)
        self._last = np.concatenate([kept, block])
        return True


class Recording:
    """A recording in the store, opened when it is first asked for: in part where that can be done.

    Its properties and methods raise MediaMissingError, MediaTooLargeError and StoreError too.
    """

    def __init__(
        self, store: ObjectStore, decoder: Decoder, key: str, media: Path, *, max_bytes: int
    ) -> None:
        """``media`` is where it is put if all of it is needed."""
        self._store = store
        self._decoder = decoder
        self._key = key
        self._media = media
        self._max_bytes = max_bytes
        self._fetched = False
        self._audio: SpanAudio | None = None

    @property
    def expected_s(self) -> float | None:
        """See ``SpanAudio``."""
        return self._opened().expected_s

    @property
    def samples(self) -> int | None:
        """See ``SpanAudio``."""
        return self._opened().samples

    def blocks(
        self, start: int, end: int | None, tick: Callable[[], None]
    ) -> Generator[Samples, None, None]:
        """See ``SpanAudio``."""
        yield from self._opened().blocks(start, end, tick)

    def close(self) -> None:
        """See ``SpanAudio``."""
        if self._audio is not None:
            self._audio.close()
            self._audio = None

    def whole(self) -> SampleStream:
        """All of it, decoded."""
        self.close()
        return self._decoder.decode(self._file())

    def _file(self) -> Path:
        if not self._fetched:
            with tracing.span("fetch"):
                size = self._store.download(self._key, self._media, max_bytes=self._max_bytes)
            if size is None:
                raise MediaMissingError("the uploaded file is no longer in the bucket")
            self._fetched = True
        return self._media

    def _opened(self) -> SpanAudio:
        if self._audio is None:
            layout = self._layout()
            self._audio = (
                RangedWav(self._store, self._key, layout)
                if layout
                else DecodedAudio(self._decoder, self._file())
            )
        return self._audio

    def _layout(self) -> WavLayout | None:
        """Of a WAV that can be read in part."""
        layout = wav_layout(self._store.read_range(self._key, 0, _HEADER_BYTES) or b"")
        if layout is None or not layout.samples:
            return None
        found = self._store.head(self._key)
        # A header that lies (a recording from a pipe, say) is a case for the decoder.
        end = layout.offset + layout.samples * _SAMPLE_BYTES
        return layout if found and end <= found.size <= self._max_bytes else None
