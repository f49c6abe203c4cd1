"""Long recordings made from short ones, kept under .local/bench/audio."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from faster_whisper import decode_audio
from numpy.typing import NDArray

from bench.recordings import RATE, Recording
from bench.workspace import AUDIO

_BLOCK = 10 * RATE
_PAUSE = np.zeros(RATE // 2, np.float32)
_QUIET = 3e-4  # amplitude of the noise between two parts, -70 dBFS
_SEED = 7


def joined(sources: Sequence[Recording], seconds: float) -> Recording:
    """At least ``seconds`` of ``sources`` in turn, as often as it takes, half a second apart.

    Without a text where they are in several languages: a model is told one.
    """
    chosen: list[Recording] = []
    length = 0.0
    for source in itertools.cycle(sources):
        if length >= seconds:
            break
        chosen.append(source)
        length += source.duration_s + len(_PAUSE) / RATE
    identity = hashlib.sha256(repr([str(one.path) for one in chosen]).encode()).hexdigest()[:12]
    target = AUDIO / f"{round(seconds)}s-{identity}.flac"
    if not target.exists():
        write_flac(_spoken(chosen), target)
    one_language = len({one.language for one in chosen}) == 1
    text = " ".join(one.text for one in chosen) if one_language else ""
    return Recording(target, text, length, chosen[0].language if one_language else "en")


def from_plan(root: Path, name: str, spoken: dict[str, str]) -> Recording | None:
    """``root/long/{name}.plan.json`` carried out: parts at one level, near-silence between them.

    ``spoken`` is what is said in each part. None where there is no such plan, or not every part.
    """
    source = root / "long" / f"{name}.plan.json"
    if not source.is_file():
        return None
    plan = json.loads(source.read_text())
    parts = [entry["part"] for entry in plan["parts"]]
    if plan["sample_rate"] != RATE or not all(part in spoken for part in parts):
        return None
    target = AUDIO / f"{name}.flac"
    if not target.exists():
        write_flac(_levelled(root, plan), target)
    seconds = len(decode_audio(str(target))) / RATE
    return Recording(target, " ".join(spoken[p] for p in parts), seconds, "en", frozenset({"long"}))


def write_flac(blocks: Iterable[NDArray[np.float32]], target: Path) -> None:
    """16 kHz mono; a file that bears its name is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with av.open(str(partial), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        written = 0
        for block in blocks:
            for start in range(0, len(block), _BLOCK):
                samples = np.clip(block[start : start + _BLOCK], -1, 1) * 32767
                frame = av.AudioFrame.from_ndarray(
                    samples.astype(np.int16)[None, :], format="s16", layout="mono"
                )
                frame.sample_rate = RATE
                frame.pts = written
                written += samples.size
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    partial.rename(target)


def _spoken(sources: Sequence[Recording]) -> Iterator[NDArray[np.float32]]:
    kept: dict[Path, NDArray[np.float32]] = {}  # few files, many times
    for source in sources:
        if source.path not in kept:
            kept[source.path] = np.asarray(decode_audio(str(source.path)), np.float32)
        yield kept[source.path]
        yield _PAUSE


def _levelled(root: Path, plan: dict[str, Any]) -> Iterator[NDArray[np.float32]]:
    noise = np.random.default_rng(_SEED)
    for entry in plan["parts"]:
        samples = np.asarray(decode_audio(str(root / entry["part"])), np.float32)
        loudness = float(np.sqrt(np.mean(samples**2))) + 1e-9
        peak = float(np.abs(samples).max()) + 1e-9
        yield samples * np.float32(min(plan["rms"] / loudness, 0.99 / peak))
        yield noise.normal(0, _QUIET, int(entry["gap_after_s"] * RATE)).astype(np.float32)
