"""Engines and decoders without models and media."""

import wave
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from whisperdrop.domain.transcript import Segment
from whisperdrop.errors import MediaError
from whisperdrop_worker.decode import Decoder
from whisperdrop_worker.engine import EngineResult, Grid, Heard, Samples, Stretch

_BLOCK = 16_000


class IdleEngine:
    """Does nothing that it is not made to do."""

    def preload(self, models: Iterable[str]) -> None: ...

    def loaded(self) -> tuple[str, ...]:
        return ("tiny.en",)

    def close(self) -> None: ...

    def transcribe(self, *_: Any, **__: Any) -> EngineResult:
        raise AssertionError("nobody should transcribe a whole recording")

    grid = Grid(first=40 * _BLOCK, chapter=40 * _BLOCK, boundary=_BLOCK, warm_up=_BLOCK)

    def hear(self, *_: Any, **__: Any) -> Heard:
        raise AssertionError("nobody should listen for the language")

    def transcribe_chapters(self, *_: Any, **__: Any) -> Stretch:
        raise AssertionError("nobody should transcribe chapters")


class NoDecoder(Decoder):
    """Yields nothing."""

    def __init__(self) -> None: ...

    def decode(self, path: Path) -> Any:
        return iter(())


class WavStream(Iterator[Samples]):
    """Blocks of one second."""

    def __init__(self, samples: Samples) -> None:
        self.expected_s: float | None = len(samples) / 16_000
        self._blocks = (samples[at : at + _BLOCK] for at in range(0, len(samples), _BLOCK))

    def __next__(self) -> Samples:
        return next(self._blocks)

    def close(self) -> None: ...


class WavDecoder(Decoder):
    """Reads WAV in this process; counts how often."""

    def __init__(self) -> None:
        self.decoded = 0

    def decode(self, path: Path) -> Any:
        self.decoded += 1
        try:
            with wave.open(str(path), "rb") as file:
                found = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        except wave.Error as error:
            raise MediaError("no WAV") from error
        return WavStream(found.astype(np.float32) / 32768.0)


def wav_bytes(seconds: float, directory: Path) -> bytes:
    """A WAV of 16 kHz whose samples count up, so that each tells where it was."""
    path = directory / "ramp.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.arange(round(seconds * 16_000)) % 32_000).astype("<i2").tobytes())
    return path.read_bytes()


def heard(at: int, samples: Samples) -> Segment:
    """What the engines of tests hear in the ``samples`` from ``at`` on: the first and the last."""
    first, last = round(float(samples[0]) * 32768), round(float(samples[-1]) * 32768)
    start = at / 16_000
    text = f" {first}-{last}"
    return Segment(id=0, seek=round(start * 100), start=start, end=start + 1, text=text)
