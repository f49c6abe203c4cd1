"""Decoding of hostile media, seen from the worker: a generator of samples, and clear errors.

The work is done by ``decode_child`` in a process that exists for this one file. Whatever happens
to that process, the worker gets an exception of ``whisperdrop.errors`` and goes on.
"""

import json
import signal
from collections.abc import Iterator
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
from whisperdrop_worker.decode_protocol import (
    DONE,
    FAILED,
    HEADER,
    MAX_PAYLOAD_BYTES,
    SAMPLES,
    DecodeJob,
    DecodeLimits,
)
from whisperdrop_worker.forkserver import ForkedChild, ForkServer, ForkServerError

__all__ = ["DecodeLimits", "Decoder"]

_STATUS_SECONDS = 10.0  # between a decoder's last byte and the report of its end
_MAX_MESSAGE = 500  # characters
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

    def decode(self, media: Path) -> Iterator[NDArray[np.float32]]:
        """Blocks of float32 mono samples in [-1, 1) at 16 kHz, at most 30 s each.

        ``media`` is read under its own name in its own directory, which should hold nothing else.
        Nothing happens before the first block is asked for. Closing the generator ends the
        decoder, and it never outlives the generator.

        Raises EmptyMediaError, NoAudioError or MediaError for what cannot be decoded,
        AudioTooLongError for more than ``max_seconds``, DecoderCrashedError for a decoder that
        died or ran into a limit, TryAgainError where the machine, not the file, is at fault.
        """
        if media.stat().st_size == 0:
            raise EmptyMediaError("the file is empty: it has 0 bytes")
        try:
            child = self._server.fork(self._request(media))
        except (ForkServerError, OSError) as error:
            raise TryAgainError("the worker cannot start a decoder now") from error
        try:
            yield from self._blocks(child)
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

    def _blocks(self, child: ForkedChild) -> Iterator[NDArray[np.float32]]:
        child.output.settimeout(self._limits.idle_seconds)
        with child.output.makefile("rb") as stream:
            while (frame := self._next_frame(child, stream)) is not None:
                yield np.frombuffer(frame, "<i2").astype(np.float32) / 32768.0

    def _next_frame(self, child: ForkedChild, stream: BufferedReader) -> bytes | None:
        """Samples, or None after the last; raises what the decoder reports or what befell it."""
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
        if kind == SAMPLES and length % 2 == 0:
            return payload
        if kind == DONE:
            return None
        raise _reported(payload) if kind == FAILED else _confused()

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


def _reported(payload: bytes) -> JobError:
    try:
        report = json.loads(payload)
        return _ERRORS[report["code"]](str(report["message"])[:_MAX_MESSAGE])
    except (ValueError, TypeError, KeyError):
        return _confused()


def _confused() -> DecoderCrashedError:
    return DecoderCrashedError("the decoder was confused by the file")
