"""The samples of a span: bytes of a WAV, or the whole file decoded and the rest dropped.

Decoding is deterministic, so the samples are those that the plan was made from, whoever decodes.
Only what needs no decoding at all is read in part: starting a lossy decoder or a resampler in the
middle gives other samples at first.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from whisperdrop.errors import MediaError, MediaMissingError
from whisperdrop.ports import ObjectStore
from whisperdrop_worker.decode import Decoder
from whisperdrop_worker.decode_protocol import SAMPLE_RATE
from whisperdrop_worker.engine import Cut, Samples, SampleStream

_HEADER_BYTES = 64 * 1024
_READ_BYTES = 4 * 1024**2  # two minutes at a time
_SAMPLE_BYTES = 2
_PCM = 1
_SHORTER = "the recording is shorter than it was when its work was shared out"


class SpanAudio(Protocol):
    """Gives windows their samples; quick where each comes after the one before."""

    def read(self, start: int, length: int, tick: Callable[[], None]) -> Samples:
        """``length`` samples from ``start`` on; ``tick`` is called now and then.

        Raises MediaError where there are fewer, and what ``tick`` raises.
        """
        ...

    def close(self) -> None:
        """End whatever stands behind it."""
        ...


def with_samples(
    audio: SpanAudio, cuts: Iterable[Cut], tick: Callable[[], None]
) -> Iterator[tuple[Cut, Samples]]:
    """Each of ``cuts`` with its samples."""
    return ((cut, audio.read(cut.start, cut.length, tick)) for cut in cuts)


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
    """Reads of a WAV in the store what is asked for, and a little ahead."""

    def __init__(self, store: ObjectStore, key: str, layout: WavLayout) -> None:
        self._store = store
        self._key = key
        self._layout = layout
        self._at = 0
        self._samples = np.zeros(0, np.float32)

    def read(self, start: int, length: int, tick: Callable[[], None]) -> Samples:
        """See ``SpanAudio``."""
        if start < self._at or start + length > self._at + len(self._samples):
            self._fetch(start, max(length, _READ_BYTES // _SAMPLE_BYTES))
            tick()
        found = self._samples[start - self._at : start - self._at + length]
        if len(found) < length:
            raise MediaError(_SHORTER)
        return found

    def close(self) -> None:
        """See ``SpanAudio``."""

    def _fetch(self, start: int, length: int) -> None:
        length = max(1, min(length, self._layout.samples - start))
        first = self._layout.offset + start * _SAMPLE_BYTES
        found = self._store.read_range(self._key, first, length * _SAMPLE_BYTES) or b""
        whole = len(found) - len(found) % _SAMPLE_BYTES
        self._at = start
        self._samples = np.frombuffer(found[:whole], "<i2").astype(np.float32) / 32768.0


class DecodedAudio:
    """Decodes from the beginning and drops what nobody asked for; begins again to go back."""

    def __init__(self, decoder: Decoder, media: Path) -> None:
        self._decoder = decoder
        self._media = media
        self._stream: SampleStream | None = None
        self._at = 0
        self._samples = np.zeros(0, np.float32)

    def read(self, start: int, length: int, tick: Callable[[], None]) -> Samples:
        """See ``SpanAudio``."""
        if self._stream is None or start < self._at:
            self.close()
            self._stream = self._decoder.decode(self._media)
        while self._at + len(self._samples) < start + length:
            self._drop(start)
            block = next(self._stream, None)
            if block is None:
                raise MediaError(_SHORTER)
            self._samples = np.concatenate([self._samples, block])
            tick()
        self._drop(start)
        return self._samples[:length]

    def close(self) -> None:
        """See ``SpanAudio``."""
        if self._stream is not None:
            self._stream.close()
        self._stream, self._at, self._samples = None, 0, np.zeros(0, np.float32)

    def _drop(self, start: int) -> None:
        """Forget what is before ``start``."""
        count = min(start - self._at, len(self._samples))
        self._at += count
        self._samples = self._samples[count:]


class StoredAudio:
    """A recording in the store, opened at the first read: in part where that can be done."""

    def __init__(
        self,
        store: ObjectStore,
        decoder: Decoder,
        key: str,
        media: Path,
        *,
        samples: int,
        max_bytes: int,
    ) -> None:
        """``samples`` is its length; ``media`` is where it is put if it has to be decoded."""
        self._store = store
        self._decoder = decoder
        self._key = key
        self._media = media
        self._total = samples
        self._max_bytes = max_bytes
        self._audio: SpanAudio | None = None

    def read(self, start: int, length: int, tick: Callable[[], None]) -> Samples:
        """See ``SpanAudio``. Raises MediaMissingError, MediaTooLargeError and StoreError too."""
        if self._audio is None:
            self._audio = self._open()
        return self._audio.read(start, length, tick)

    def close(self) -> None:
        """See ``SpanAudio``."""
        if self._audio is not None:
            self._audio.close()

    def _open(self) -> SpanAudio:
        layout = wav_layout(self._store.read_range(self._key, 0, _HEADER_BYTES) or b"")
        # A header that lies (a recording from a pipe, say) is a case for the decoder.
        if layout is not None and layout.samples == self._total:
            return RangedWav(self._store, self._key, layout)
        if self._store.download(self._key, self._media, max_bytes=self._max_bytes) is None:
            raise MediaMissingError("the uploaded file is no longer in the bucket")
        return DecodedAudio(self._decoder, self._media)
