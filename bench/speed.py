"""Speed in one process: clips and a long file, every contender, in turns."""

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench.contenders import OURS, Contender, on_cpu
from bench.plan import Plan, understood
from bench.recordings import Recording
from bench.report import Bar, Chart, Section, Table
from bench.scoring import errors, total
from bench.stats import in_turns, median_ratio
from bench.workspace import say


@dataclass(frozen=True)
class Timing:
    """The wall seconds of each round for all files, and the texts of the last one."""

    contender: str
    walls: tuple[float, ...]
    texts: tuple[str, ...]

    @property
    def median_s(self) -> float:
        """Of the rounds."""
        return statistics.median(self.walls)


@dataclass(frozen=True)
class Comparison:
    """Every contender on the same files."""

    title: str
    recordings: Sequence[Recording]
    timings: Sequence[Timing]

    @property
    def audio_s(self) -> float:
        """Of all files together."""
        return sum(one.duration_s for one in self.recordings)

    def ratio(self, timing: Timing, other: Timing) -> float:
        """How many times as fast as ``other``: the median of the rounds."""
        return median_ratio(other.walls, timing.walls)

    def wer(self, timing: Timing) -> float | None:
        """Error rate of the texts: a contender must not be fast by leaving words out.

        None where nobody knows what was said.
        """
        pairs = zip(self.recordings, timing.texts, strict=True)
        known = [errors(one.text, heard, one.language) for one, heard in pairs if one.text]
        return total(known).rate if known else None

    def table(self) -> Table:
        """A row for each contender; the ratios are against the first of them and all others."""
        others = [one for one in self.timings if not one.contender.startswith(OURS)]
        short = [one.contender.removeprefix("faster-whisper, ") for one in others]
        rows = [
            (
                timing.contender,
                f"{timing.median_s:.2f}",
                f"{self.audio_s / timing.median_s:.1f}",
                *(f"{self.ratio(timing, other):.2f}" for other in others),
                "" if (rate := self.wer(timing)) is None else f"{rate * 100:.1f}",
            )
            for timing in self.timings
        ]
        columns = ("", "wall s", "x real time", *(f"x {name}" for name in short), "WER %")
        files = f"{len(self.recordings)} files, {self.audio_s:.0f} s of audio"
        return Table(f"{self.title}: {files}, {len(self.timings[0].walls)} rounds", columns, rows)

    def chart(self) -> Chart:
        """Times as fast as the first contender."""
        bars = [
            Bar(one.contender, self.ratio(one, self.timings[0]), one.contender.startswith(OURS))
            for one in self.timings
        ]
        return Chart(f"{self.title}: times as fast as {self.timings[0].contender}", bars, " x")

    def as_json(self) -> dict[str, Any]:
        """All of it, the wall time of every round included."""
        return {
            "files": len(self.recordings),
            "audio_s": self.audio_s,
            "contenders": {
                one.contender: {
                    "wall_s": list(one.walls),
                    "x_real_time": self.audio_s / one.median_s,
                    "times_as_fast_as": {
                        other.contender: self.ratio(one, other) for other in self.timings
                    },
                    "wer": self.wer(one),
                }
                for one in self.timings
            },
        }


def compare(
    title: str,
    contenders: Sequence[Contender],
    recordings: Sequence[Recording],
    *,
    rounds: int,
    warm_up: Recording,
) -> Comparison:
    """Load all, let each transcribe ``warm_up`` uncounted, then let them take turns."""
    walls: dict[str, list[float]] = {one.name: [] for one in contenders}
    texts: dict[str, list[str]] = {}
    with ExitStack() as loaded:
        for contender in contenders:
            loaded.enter_context(contender)
            contender.transcribe([warm_up])
        for number, contender in in_turns(contenders, rounds):
            began = time.perf_counter()
            texts[contender.name] = contender.transcribe(recordings)
            walls[contender.name].append(time.perf_counter() - began)
            took = walls[contender.name][-1]
            say(f"{title}: round {number + 1} of {rounds}: {contender.name} took {took:.2f} s")
    timings = [Timing(one, tuple(walls[one]), tuple(texts[one])) for one in walls]
    return Comparison(title, recordings, timings)


def run(plan: Plan) -> Section:
    """Clips and the long file, for each model."""
    found: list[Comparison] = []
    for model in plan.models:
        for kind, chosen in (("clips", plan.clips()), ("long file", plan.long_files())):
            recordings = understood(chosen, model)
            if recordings:
                contenders = on_cpu(model, files=len(recordings))
                found.append(
                    compare(
                        f"{model}, {kind}",
                        contenders,
                        recordings,
                        rounds=plan.rounds,
                        warm_up=understood(plan.clips(), model)[0],
                    )
                )
    return Section(
        "speed",
        [one.table() for one in found],
        {one.title: one.as_json() for one in found},
        [one.chart() for one in found],
    )
