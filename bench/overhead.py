"""What the service costs beyond the model: ``python -m bench --only overhead``.

Starts the embedded stack on free ports and measures, one request at a time:

- the synchronous route on a clip of 11 s: wall time without the time inside the model;
- the creation of a job;
- the presigned round trip, from creation to the text in hand, again without the model.

A missed target makes the run's exit status 1. Figures of a busy machine are those of a busy
machine: compare within one run.
"""

import importlib.util
import statistics
import tempfile
import time
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests
from faster_whisper import decode_audio

from bench.plan import Plan
from bench.report import Section, Table
from bench.stats import percentile
from whisperdrop_local.settings import StackSettings
from whisperdrop_local.stack import Stack

CLIP_S = 11.0
RATE = 16_000
SYNC_TARGET_MS = 150.0
CREATE_TARGET_MS = 30.0
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Figures:
    """Milliseconds of each repetition; of all of it, and of the model within."""

    name: str
    wall_ms: list[float]
    engine_ms: list[float]
    target_ms: float | None = None

    @property
    def overhead_ms(self) -> list[float]:
        """Of each repetition, what was not the model."""
        return [wall - engine for wall, engine in zip(self.wall_ms, self.engine_ms, strict=True)]

    @property
    def median_ms(self) -> float:
        """Of the overhead."""
        return statistics.median(self.overhead_ms)

    @property
    def met(self) -> bool:
        """Whether the target is met, if there is one."""
        return self.target_ms is None or self.median_ms <= self.target_ms

    @property
    def ratio(self) -> float | None:
        """Overhead for each unit of time in the model."""
        engine = statistics.median(self.engine_ms)
        return self.median_ms / engine if engine else None

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "name": self.name,
            "requests": len(self.wall_ms),
            "overhead_ms": {"median": self.median_ms, "p95": percentile(self.overhead_ms, 95)},
            "engine_ms": {"median": statistics.median(self.engine_ms)},
            "wall_ms": {
                "median": statistics.median(self.wall_ms),
                "p95": percentile(self.wall_ms, 95),
            },
            "overhead_to_engine": self.ratio,
            "target_ms": self.target_ms,
            "met": self.met,
            "each": {"wall_ms": self.wall_ms, "engine_ms": self.engine_ms},
        }


class Caller:
    """A client on one connection, as the official SDKs are."""

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        self._storage = requests.Session()

    def transcribe(self, clip: Path) -> tuple[float, float]:
        """Wall and engine milliseconds of the synchronous route."""
        body = clip.read_bytes()
        began = time.perf_counter()
        answer = self._session.post(
            f"{self._address}/transcribe/tiny.en",
            files={"file": (clip.name, body, "audio/wav")},
            timeout=_TIMEOUT_S,
        )
        wall_ms = _since(began)
        answer.raise_for_status()
        return wall_ms, self._engine_ms(answer.headers["x-whisperdrop-job"])

    def create(self, clip: Path) -> tuple[float, dict[str, Any]]:
        """Milliseconds, and the job that waits for its upload."""
        began = time.perf_counter()
        answer = self._session.post(
            f"{self._address}/v1/jobs",
            json={"filename": clip.name, "size": clip.stat().st_size},
            timeout=_TIMEOUT_S,
        )
        wall_ms = _since(began)
        answer.raise_for_status()
        return wall_ms, answer.json()

    def round_trip(self, clip: Path) -> tuple[float, float]:
        """Wall and engine milliseconds from the creation to the text."""
        body = clip.read_bytes()
        began = time.perf_counter()
        _, created = self.create(clip)
        upload = created["upload"]
        self._storage.put(
            upload["url"], data=body, headers=upload["headers"], timeout=_TIMEOUT_S
        ).raise_for_status()
        job = f"{self._address}/v1/jobs/{created['job_id']}"
        self._session.get(job, params={"wait": 60}, timeout=_TIMEOUT_S).raise_for_status()
        text = self._session.get(f"{job}/transcript?format=txt", timeout=_TIMEOUT_S)
        wall_ms = _since(began)
        text.raise_for_status()
        return wall_ms, self._engine_ms(created["job_id"])

    def _engine_ms(self, job_id: str) -> float:
        job = self._session.get(f"{self._address}/v1/jobs/{job_id}", timeout=_TIMEOUT_S).json()
        return float(job["usage"]["engine_s"]) * 1000


def measure(stack: Stack, clip: Path, *, requests_sync: int, requests_create: int) -> list[Figures]:
    """All figures, each after a warm-up that is not counted."""
    caller = Caller(stack.address, stack.api_key)
    sync = _repeated(lambda: caller.transcribe(clip), requests_sync)
    trips = _repeated(lambda: caller.round_trip(clip), requests_sync)
    # Last, because what it leaves waiting for an upload would be in the way of the others.
    creations = _repeated(lambda: (caller.create(clip)[0], 0.0), requests_create)
    return [
        Figures("synchronous route, 11 s clip", *sync, target_ms=SYNC_TARGET_MS),
        Figures("presigned round trip, 11 s clip", *trips),
        Figures("create a job", *creations, target_ms=CREATE_TARGET_MS),
    ]


def _repeated(
    once: Callable[[], tuple[float, float]], times: int, warm_up: int = 3
) -> tuple[list[float], list[float]]:
    for _ in range(warm_up):
        once()
    measured = [once() for _ in range(times)]
    return [wall for wall, _ in measured], [engine for _, engine in measured]


def make_clip(target: Path) -> Path:
    """``CLIP_S`` seconds of different English recordings, one after the other, as 16-bit WAV."""
    spec = importlib.util.find_spec("pytest_audioeval")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the sample recordings are not installed; run 'make setup'")
    folder = Path(spec.submodule_search_locations[0]) / "samples" / "audio" / "en"
    recordings = [np.asarray(decode_audio(str(path))) for path in sorted(folder.glob("*.wav"))]
    pause = np.zeros(RATE // 4, np.float32)
    parts: list[Any] = []
    while sum(map(len, parts)) < CLIP_S * RATE:
        parts += [part for recording in recordings for part in (recording, pause)]
    samples = np.concatenate(parts)[: int(CLIP_S * RATE)]
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return target


def table(figures: Sequence[Figures]) -> Table:
    """The figures for a person; milliseconds."""
    rows = [
        (
            one.name,
            str(len(one.wall_ms)),
            f"{one.median_ms:.1f}",
            f"{percentile(one.overhead_ms, 95):.1f}",
            f"{statistics.median(one.engine_ms):.1f}",
            f"{statistics.median(one.wall_ms):.1f}",
            "" if one.ratio is None else f"{one.ratio:.2f}",
            "" if one.target_ms is None else f"{one.target_ms:.0f}",
            "" if one.target_ms is None else ("met" if one.met else "MISSED"),
        )
        for one in figures
    ]
    return Table(
        "overhead of the routes: wall time without the model; medians and p95 in milliseconds",
        ("", "n", "overhead", "p95", "model", "wall", "overhead/model", "target", ""),
        rows,
    )


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def run(plan: Plan) -> Section:
    """The section; the clip is the same whatever the collection, since its model does not count."""
    with tempfile.TemporaryDirectory(prefix="whisperdrop-bench-") as directory:
        clip = make_clip(Path(directory) / "clip.wav")
        settings = StackSettings().model_copy(
            update={"port": 0, "emulator_port": 0, "data_dir": Path(directory) / "data"}
        )
        with Stack(settings) as stack:
            figures = measure(
                stack,
                clip,
                requests_sync=plan.amount(15, 3),
                requests_create=plan.amount(100, 10),
            )
    return Section(
        "overhead",
        [table(figures)],
        {"figures": [one.as_json() for one in figures]},
        met=all(one.met for one in figures),
    )
