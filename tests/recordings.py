"""Real speech for the suite.

Small labelled recordings come out of a package and are always there. A larger folder with a
``manifest.jsonl`` (one JSON object a line: file, text, expect, tags) is used where there is one:
WHISPERDROP_AUDIO names it, or it lies beside the project.
"""

import itertools
import json
import os
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faster_whisper import decode_audio

from tests.lanes import lane
from whisperdrop_local.sample import Sample, bundled

_RATE = 16_000

__all__ = [
    "Recording",
    "Sample",
    "bundled",
    "english_recording",
    "folder",
    "long_recording",
    "manifest",
]


@dataclass(frozen=True)
class Recording:
    """A line of the manifest."""

    path: Path
    text: str | None
    expect: str
    tags: tuple[str, ...]
    duration_s: float


def folder(project_root: Path) -> Path:
    """The folder of recordings; skips the test where there is none."""
    named = os.environ.get("WHISPERDROP_AUDIO")
    found = Path(named) if named else project_root.parent / "shared" / "audio"
    lane(
        "shared",
        (found / "manifest.jsonl").is_file(),
        "WHISPERDROP_AUDIO names no folder with a manifest.jsonl",
    )
    return found


def manifest(project_root: Path) -> list[Recording]:
    """Every line of the manifest."""
    root = folder(project_root)
    lines = (root / "manifest.jsonl").read_text().splitlines()
    return [_recording(root, json.loads(line)) for line in lines]


def _recording(root: Path, line: dict[str, object]) -> Recording:
    text, duration = line["text"], line["duration_s"]
    return Recording(
        path=root / str(line["file"]),
        text=None if text is None else str(text),
        expect=str(line["expect"]),
        tags=tuple(str(tag) for tag in (line["tags"] if isinstance(line["tags"], list) else ())),
        duration_s=float(duration) if isinstance(duration, int | float) else 0.0,
    )


def long_recording(path: Path, seconds: float) -> Path:
    """Speech of at least ``seconds``, as 16 kHz WAV: English first, then other languages.

    Not one sentence over and over: Whisper takes repetition for a failure and decodes it again.
    """
    spoken = [sample.media for sample in _english()]
    others = spoken[0].parent.parent.glob("*/*.wav")
    foreign = sorted(file for file in others if file.parent.name != "en")
    return _joined(path, seconds, [*spoken, *foreign])


def english_recording(path: Path, seconds: float) -> Path:
    """English speech of at least ``seconds``, as 16 kHz WAV, with pauses of different lengths.

    For tests that need a long recording which a small English model gets through quickly.
    """
    return _joined(
        path, seconds, [sample.media for sample in _english()], pauses_s=(0.4, 1.2, 2.5, 5)
    )


def _english() -> list[Sample]:
    return [bundled(name) for name in ("quick_brown_fox", "counting", "hello_world")]


def _joined(
    path: Path, seconds: float, files: Sequence[Path], pauses_s: Sequence[float] = (0,)
) -> Path:
    pieces = itertools.cycle(decode_audio(str(file)) for file in files)
    pauses = itertools.cycle(pauses_s)
    with wave.open(str(path), "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(_RATE)
        while target.getnframes() < seconds * _RATE:
            target.writeframes((next(pieces) * 32767).astype("<i2").tobytes())
            target.writeframes(bytes(2 * round(next(pauses) * _RATE)))
    return path
