"""Clips over HTTP: 1, 8 and 32 clients on the synchronous route of the embedded stack.

The clips are also transcribed in this process by faster-whisper in its default layout, in turns
with the clients, so that the ratio is one of the same minutes on the same machine. While one of
them works, the other is loaded and idle.
"""

import itertools
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from bench.contenders import DEFAULT, default
from bench.plan import Plan, understood
from bench.recordings import Recording
from bench.report import Bar, Chart, Section, Table
from bench.stats import in_turns, median_ratio, percentile
from bench.workspace import say
from whisperdrop_local.settings import StackSettings
from whisperdrop_local.stack import Stack

CLIENTS = (1, 8, 32)
_QUICK_CLIENTS = (1, 4)
_TIMEOUT_S = 600
_OK = 200


@dataclass
class Load:
    """What so many clients saw, in all rounds."""

    clients: int
    audio_s: float
    walls: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    failed: int = 0


class Clients:
    """So many clients, each with a connection of its own, that share the clips out."""

    def __init__(self, address: str, key: str, model: str) -> None:
        self._route = f"{address}/transcribe/{model}"
        self._key = key
        self._own = threading.local()

    def send(self, recordings: Sequence[Recording], clients: int, load: Load) -> None:
        """All ``recordings``, the next one whenever a client is free."""
        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(self._one, recordings))
        load.walls.append(time.perf_counter() - began)
        load.latencies += [seconds for seconds, _ in answers]
        jobs = [job for _, job in answers if job is not None]
        load.failed += len(answers) - len(jobs)
        if len(set(jobs)) < len(jobs):
            raise SystemExit("two requests were answered by one job: this measures a cache")

    def _one(self, recording: Recording) -> tuple[float, str | None]:
        """Seconds, and the job; None instead of it where there was no transcript."""
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
            self._own.session.headers["Authorization"] = f"Bearer {self._key}"
        body = recording.path.read_bytes()
        began = time.perf_counter()
        answer = self._own.session.post(
            self._route,
            files={"file": (recording.name, body)},
            data={"language": recording.language} if recording.language else {},
            timeout=_TIMEOUT_S,
        )
        seconds = time.perf_counter() - began
        done = answer.status_code == _OK
        return seconds, answer.headers["x-whisperdrop-job"] if done else None


def run(plan: Plan) -> Section:
    """Each model on a stack of its own."""
    measured = {}
    for model in plan.models:
        clips = understood(plan.clips(), model)
        if clips:
            measured[model] = _measure(model, clips, plan)
    return Section(
        "http",
        [_table(model, *found) for model, found in measured.items()],
        {model: _json(*found) for model, found in measured.items()},
        [_chart(model, *found) for model, found in measured.items()],
    )


def _measure(model: str, clips: Sequence[Recording], plan: Plan) -> tuple[Load, list[Load]]:
    """faster-whisper in this process, and each number of clients."""
    levels = _QUICK_CLIENTS if plan.quick else CLIENTS
    direct = Load(0, _audio_s(clips))
    work = {clients: _enough(clips, clients) for clients in levels}
    loads = {clients: Load(clients, _audio_s(work[clients])) for clients in levels}
    with _served(model) as stack, default(model) as contender:
        clients = Clients(stack.address, stack.api_key, model)
        clients.send(_enough(clips[:1], 4), 4, Load(4, 0.0))
        contender.transcribe(clips[:1])
        for number, level in in_turns((0, *levels), plan.rounds):
            if level:
                clients.send(work[level], level, loads[level])
                took = loads[level].walls[-1]
            else:
                began = time.perf_counter()
                contender.transcribe(clips)
                took = time.perf_counter() - began
                direct.walls.append(took)
            who = f"{level} clients" if level else DEFAULT
            say(f"{model}, HTTP: round {number + 1} of {plan.rounds}: {who} took {took:.2f} s")
    return direct, list(loads.values())


def ratio(direct: Load, load: Load) -> float:
    """Times as fast as ``direct``, for each second of audio: the median of the rounds."""
    return median_ratio(
        [wall / direct.audio_s for wall in direct.walls],
        [wall / load.audio_s for wall in load.walls],
    )


def _table(model: str, direct: Load, loads: Sequence[Load]) -> Table:
    rows = [(DEFAULT, "", "", f"{_speed(direct):.1f}", "1.00", "")]
    rows += [
        (
            f"{load.clients} client{'s' if load.clients > 1 else ''}",
            f"{percentile(load.latencies, 50):.2f}",
            f"{percentile(load.latencies, 95):.2f}",
            f"{_speed(load):.1f}",
            f"{ratio(direct, load):.2f}",
            str(load.failed),
        )
        for load in loads
    ]
    return Table(
        f"{model}, POST /transcribe/{model}: clips of {direct.audio_s:.0f} s, "
        f"{len(direct.walls)} rounds",
        ("", "p50 s", "p95 s", "x real time", "x default", "failed"),
        rows,
        "a request that was not answered with a transcript counts as failed",
    )


def _chart(model: str, direct: Load, loads: Sequence[Load]) -> Chart:
    ours = [Bar(f"HTTP, {load.clients} clients", ratio(direct, load), ours=True) for load in loads]
    return Chart(f"{model}, clips over HTTP: times as fast", [Bar(DEFAULT, 1.0), *ours], " x")


def _json(direct: Load, loads: Sequence[Load]) -> dict[str, Any]:
    return {
        "direct": {"wall_s": direct.walls, "audio_s": direct.audio_s},
        "clients": {
            str(load.clients): {
                "requests": len(load.latencies),
                "failed": load.failed,
                "audio_s": load.audio_s,
                "wall_s": load.walls,
                "p50_s": percentile(load.latencies, 50),
                "p95_s": percentile(load.latencies, 95),
                "x_real_time": _speed(load),
                "times_as_fast_as_default": ratio(direct, load),
            }
            for load in loads
        },
    }


def _speed(load: Load) -> float:
    return load.audio_s / percentile(load.walls, 50)


def _audio_s(recordings: Sequence[Recording]) -> float:
    return sum(one.duration_s for one in recordings)


def _enough(clips: Sequence[Recording], clients: int) -> list[Recording]:
    """All clips, or as many times all of them as give each client two."""
    rounds = -(-2 * clients // len(clips))
    return list(itertools.chain.from_iterable([clips] * max(1, rounds)))


@contextmanager
def _served(model: str) -> Iterator[Stack]:
    """The embedded stack with ``model`` on free ports, in a folder that goes away."""
    before = os.environ.get("WHISPER_MODELS")
    os.environ["WHISPER_MODELS"] = model
    try:
        with tempfile.TemporaryDirectory(prefix="whisperdrop-bench-") as directory:
            changed = {"port": 0, "emulator_port": 0, "data_dir": Path(directory) / "data"}
            with Stack(StackSettings().model_copy(update=changed)) as stack:
                yield stack
    finally:
        if before is None:
            del os.environ["WHISPER_MODELS"]
        else:
            os.environ["WHISPER_MODELS"] = before
