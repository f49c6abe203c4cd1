"""Decoding of hostile media, seen from the worker: an iterator of samples, and clear errors.

The work is done by ``decode_child`` in a process that exists for this one file. Whatever happens
to that process, the worker gets an exception of ``whisperdrop.errors`` and goes on.
"""

import json
import signal
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from whisperdrop.errors import (
    AudioTooLongError,
    DecoderCrashedError,
    EmptyMediaError,
    JobError,
    MediaError,
    NoAudioError,
    TryAgainError,
    WhisperdropError,
)
from whisperdrop.observability import tracing
from whisperdrop.observability.catalogue import DECODE_WAIT
from whisperdrop.observability.metrics import record
from whisperdrop_worker.decode_protocol import (
    DONE,
    EXPECTED,
    FAILED,
    HEADER,
    MAX_PAYLOAD_BYTES,
    SAMPLES,
    DecodeJob,
    DecodeLimits,
    plausible_seconds,
)
from whisperdrop_worker.forkserver import ForkedChild, ForkServer, ForkServerError

__all__ = ["DecodeLimits", "Decoder", "Decoding"]

Samples = NDArray[np.float32]
"""Mono samples in [-1, 1) at 16 kHz."""

_STATUS_SECONDS = 10.0  # between a decoder's last byte and the report of its end
_MAX_MESSAGE = 500  # characters
_MAX_EXPECTED_BYTES = 100  # of JSON with one number in it
_ERRORS: dict[str, type[JobError]] = {
    error.code: error
    for error in (
        AudioTooLongError,
        DecoderCrashedError,
        EmptyMediaError,
        MediaError,
        NoAudioError,
    )
}


@dataclass
class _Header:
    """What the decoder said before its first samples."""

    expected_s: float | None = None


class Decoding(Iterator[Samples]):
    """One file being decoded: an iterator of blocks that can be closed, as a generator can.

    Nothing happens before the first block is asked for. Closing it, or forgetting it, ends the
    decoder, which never outlives it.
    """

    # The generator must not refer to this object: in a circle they would wait for the garbage
    # collector, and the decoder with them.
    def __init__(self, blocks: Generator[Samples, None, None], header: _Header) -> None:
        self._blocks = blocks
        self._header = header

    def __next__(self) -> Samples:
        return next(self._blocks)

    def close(self) -> None:
        """End the decoder; there are no blocks after this."""
        self._blocks.close()

    @property
    def expected_s(self) -> float | None:
        """Length of the whole recording in seconds, as its header has it.

        None until the first block or the end was read, and where the header does not tell. It may
        be a lie: good for percentages, never for limits or memory.
        """
        return self._header.expected_s


class Decoder:
    """Decodes files, each in its own process. Safe to use from several threads."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._server = ForkServer("whisperdrop_worker.decode_child")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def warm(self) -> None:
        """Start importing the media library in the background; the first file waits less."""
        self._server.start()

    def close(self) -> None:
        """End every decoding that runs, and the process behind them."""
        self._server.close()

    def decode(self, media: Path) -> Decoding:
        """Blocks of float32 mono samples in [-1, 1) at 16 kHz, at most 30 s each.

        ``media`` is read under its own name in its own directory, which should hold nothing else.
        Nothing happens before the first block is asked for. Closing what is returned ends the
        decoder, which never outlives it.

        The first block raises EmptyMediaError, NoAudioError or MediaError for what cannot be
        decoded; any block AudioTooLongError for more than ``max_seconds``, DecoderCrashedError for
        a decoder that died or ran into a limit, TryAgainError where the machine, not the file, is
        at fault.
        """
        header = _Header()
        return Decoding(self._decode(media, header), header)

    def _decode(self, media: Path, header: _Header) -> Generator[Samples, None, None]:
        if media.stat().st_size == 0:
            raise EmptyMediaError("the file is empty: it has 0 bytes")
        try:
            child = self._server.fork(self._request(media))
        except (ForkServerError, OSError) as error:
            raise TryAgainError("the worker cannot start a decoder now") from error
        try:
            yield from self._blocks(child, header)
        finally:
            child.stop()

    def _request(self, media: Path) -> bytes:
        return DecodeJob(
            directory=str(media.parent.resolve()),
            name=media.name,
            max_seconds=self._limits.max_seconds,
            memory_bytes=self._limits.memory_bytes,
            cpu_seconds=self._limits.cpu_seconds,
        ).to_bytes()

    def _blocks(self, child: ForkedChild, header: _Header) -> Generator[Samples, None, None]:
        child.output.settimeout(self._limits.idle_seconds)
        span = tracing.begin("decode")
        try:
            yield from self._read(child, header)
        finally:
            span.end()

    def _read(self, child: ForkedChild, header: _Header) -> Generator[Samples, None, None]:
        with child.output.makefile("rb") as stream:
            kind, payload = self._next_frame(child, stream)
            if kind == EXPECTED:
                header.expected_s = _expected(payload)
                kind, payload = self._next_frame(child, stream)
            while kind == SAMPLES and len(payload) % 2 == 0:
                yield np.frombuffer(payload, "<i2").astype(np.float32) / 32768.0
                kind, payload = self._next_frame(child, stream)
            if kind != DONE:
                raise _reported(payload) if kind == FAILED else _confused()

    def _next_frame(self, child: ForkedChild, stream: BufferedReader) -> tuple[bytes, bytes]:
        """Kind and payload; raises what befell the decoder."""
        began = time.perf_counter()
        try:
            return self._frame(child, stream)
        finally:
            record(DECODE_WAIT, time.perf_counter() - began)

    def _frame(self, child: ForkedChild, stream: BufferedReader) -> tuple[bytes, bytes]:
        try:
            header = stream.read(HEADER.size)
            if len(header) < HEADER.size:
                raise self._death(child)
            kind, length = HEADER.unpack(header)
            if length > MAX_PAYLOAD_BYTES:
                raise _confused()
            payload = stream.read(length)
        except TimeoutError as error:
            idle = f"{self._limits.idle_seconds:g} seconds"
            raise DecoderCrashedError(f"decoding the file made no progress for {idle}") from error
        except ConnectionError as error:
            raise self._death(child) from error
        if len(payload) < length:
            raise self._death(child)
        return kind, payload

    def _death(self, child: ForkedChild) -> WhisperdropError:
        """The error for a decoder that ended without a word."""
        code = child.exit_code(_STATUS_SECONDS)
        if code is None and not self._server.alive:
            # The process behind all decoders is gone: this file is not to blame.
            return TryAgainError("the decoder was stopped together with its worker's helper")
        if code == -signal.SIGXCPU:
            seconds = self._limits.cpu_seconds
            return DecoderCrashedError(
                f"decoding the file takes more than the {seconds} seconds of CPU it may have"
            )
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return DecoderCrashedError(f"the decoder crashed on the file: {name}")
        return DecoderCrashedError("the decoder crashed on the file")


def _expected(payload: bytes) -> float | None:
    if len(payload) > _MAX_EXPECTED_BYTES:
        return None
    try:
        return plausible_seconds(json.loads(payload)["expected_s"])
    except (ValueError, TypeError, KeyError):
        return None


def _reported(payload: bytes) -> JobError:
    try:
        report = json.loads(payload)
        return _ERRORS[report["code"]](str(report["message"])[:_MAX_MESSAGE])
    except (ValueError, TypeError, KeyError, RecursionError):  # the last for a thousand brackets
        return _confused()


def _confused() -> DecoderCrashedError:
    return DecoderCrashedError("the decoder was confused by the file")
