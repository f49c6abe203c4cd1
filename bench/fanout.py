"""How much faster a long recording gets with more workers: a simulation, event by event.

It does what ``whisperdrop_worker.fanout`` does, with given speeds and latencies in place of models
and machines: one worker plans by the length of the recording and listens for its language,
invitations reach workers at random, each claims the next free span and goes on until none is free,
the holder of the job puts it together.

``python -m bench.fanout --speed 50 --workers 64``
"""

import argparse
import heapq
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bench.plan import Plan
from bench.report import Section, Table

_INVITATIONS = 5  # for each worker, as in whisperdrop_worker.planner
_AT_ONCE = 32  # requests
_ROUNDS = 9
_SPEEDS = (1.0, 25.0, 50.0)


@dataclass(frozen=True)
class Fleet:
    """What is simulated. Speeds are times real time of one worker; the rest are seconds.

    ``detector`` finds speech, ``decoding`` gives the samples before a span where they cannot be
    skipped (None: a WAV, of which each reads its part). ``heard_s`` is how much audio could be
    transcribed while the language is found; 0 where the request or the model settles it. ``jitter``
    is the share by which the time of a span varies.
    """

    workers: int = 64
    speed: float = 25.0
    detector: float = 450.0
    decoding: float | None = None
    first_chapter_s: float = 600.0
    chapter_s: float = 120.0
    overlap_s: float = 16.0
    span_s: float = 600.0
    heard_s: float = 30.0
    download_s: float = 5.0
    request_s: float = 0.03
    message_s: float = 0.1
    poll_s: float = 1.0
    jitter: float = 0.1

    def alone_s(self, audio_s: float) -> float:
        """One worker without a plan: detector and decoder work beside the model."""
        return self.download_s + audio_s / min(self.speed, self.detector, self.decoding or 1e9)


def shared_s(fleet: Fleet, audio_s: float, seed: int = 0) -> float:
    """Seconds from the download to the transcript, with all of ``fleet`` free."""
    chance = random.Random(seed)  # noqa: S311 - a simulation
    ends = span_ends(
        1 + max(0, round((audio_s - fleet.first_chapter_s) / fleet.chapter_s)),
        max(1, round(fleet.span_s / fleet.chapter_s)),
        fleet.workers,
    )
    begins = (fleet.first_chapter_s + (end - 1) * fleet.chapter_s for end in ends[:-1])
    places = [0.0, *begins, audio_s]
    # Its header, or all of it; then a look at it, what it is spoken in, and the plan.
    begin_s = fleet.request_s if fleet.decoding is None else fleet.download_s
    planned_s = begin_s + 3 * fleet.request_s + fleet.heard_s / fleet.speed
    free = _arrivals(fleet, len(ends), planned_s, chance)
    at = [0.0] * fleet.workers  # where a worker's decoder has come to
    ended = []
    for begin, end in pairwise(places):
        now, worker = heapq.heappop(free)
        # The claim, now and then lost to somebody else; then the first bytes.
        start = now + (2 + (chance.random() < 0.5)) * fleet.request_s
        length_s = end - begin
        work_s = (length_s / fleet.speed) * (1 + chance.uniform(-fleet.jitter, fleet.jitter))
        front_s = (length_s + fleet.overlap_s) / fleet.detector
        # Nothing comes out before the detector has found where it begins.
        first_s = fleet.overlap_s / fleet.detector if begin else 0.0
        decoded = start
        if fleet.decoding is not None:
            start += fleet.download_s if not at[worker] and worker else 0.0
            first_s += max(0.0, begin - at[worker]) / fleet.decoding
            decoded = start + max(0.0, end - at[worker]) / fleet.decoding
            at[worker] = end
        done = max(start + first_s + max(work_s, front_s), decoded)
        ended.append(done + fleet.request_s)  # its part
        heapq.heappush(free, (ended[-1] + fleet.request_s, worker))  # and a listing
    # The holder looks every now and then, and reads the parts.
    merge_s = (-(-len(ends) // _AT_ONCE) + 3) * fleet.request_s
    return max(ended) + fleet.poll_s / 2 + merge_s


def span_ends(chapters: int, most: int, workers: int) -> list[int]:
    """As ``whisperdrop_worker.plan`` has them; the chapters after the last ones."""
    ends: list[int] = []
    done = 0
    while done < chapters:
        left = chapters - done
        size = min(most, max(1, left // (2 * workers)))
        size = size if done else 1
        done += left if left < 1.5 * size else size
        ends.append(done)
    return ends


def _arrivals(
    fleet: Fleet, spans: int, planned_s: float, chance: random.Random
) -> list[tuple[float, int]]:
    """When each worker begins; those that no message reaches never do. A heap."""
    messages = max(spans, _INVITATIONS * (fleet.workers - 1))
    begins = {0: planned_s + fleet.request_s}  # the planner itself
    for number in range(messages):
        worker = chance.randrange(fleet.workers)
        # Who comes reads the job's documents and lists what is claimed.
        at = planned_s + fleet.message_s + (number / _AT_ONCE + 4) * fleet.request_s
        begins.setdefault(worker, at)
    heap = [(at, worker) for worker, at in begins.items()]
    heapq.heapify(heap)
    return heap


def efficiency(fleet: Fleet, audio_s: float) -> tuple[float, float]:
    """Speed-up over one worker, and its share of linear; the mean of some rounds."""
    mean_s = sum(shared_s(fleet, audio_s, seed) for seed in range(_ROUNDS)) / _ROUNDS
    speedup = fleet.alone_s(audio_s) / mean_s
    return speedup, speedup / fleet.workers


def run(plan: Plan) -> Section:
    """The usual fleet."""
    return study(Fleet(), (1, 10) if plan.quick else (0.5, 1, 2, 4, 10))


def study(fleet: Fleet, hours: Sequence[float]) -> Section:
    """Tables of speed-up by workers, by length and by the speed of a worker."""
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < fleet.workers]
    longest_s = hours[-1] * 3600
    tables: list[Table] = []
    data: dict[str, list[dict[str, float]]] = {}

    def table(title: str, key: str, rows: Sequence[tuple[str, float, Fleet, float]]) -> None:
        found = [(name, value, *efficiency(some, audio_s)) for name, value, some, audio_s in rows]
        data[key] = [
            {key: value, "speed_up": speed_up, "share": share}
            for _, value, speed_up, share in found
        ]
        cells = [(name, f"{speed_up:.1f}", f"{share:.2f}") for name, _, speed_up, share in found]
        tables.append(Table(title, ("", "speed-up", "of linear"), cells))

    table(
        f"A recording of {hours[-1]:g} h, {fleet.speed:g}x, by workers",
        "workers",
        [
            (str(count), count, replace(fleet, workers=count), longest_s)
            for count in (*counts, fleet.workers)
        ],
    )
    table(
        f"{fleet.workers} workers of {fleet.speed:g}x, by length",
        "hours",
        [(f"{length:g} h", length, fleet, length * 3600) for length in hours],
    )
    table(
        f"{fleet.workers} workers, {hours[-1]:g} h, by the speed of one",
        "speed",
        [(f"{speed:g}x", speed, replace(fleet, speed=speed), longest_s) for speed in _SPEEDS],
    )
    return Section("fanout", tables, data)


def main(arguments: list[str] | None = None) -> int:
    """Simulate and print."""
    parser = argparse.ArgumentParser(prog="bench.fanout", description=__doc__)
    usual = Fleet()
    parser.add_argument("--workers", type=int, default=usual.workers)
    parser.add_argument("--speed", type=float, default=usual.speed, help="x real time, a worker")
    parser.add_argument("--detector", type=float, default=usual.detector, help="x real time")
    parser.add_argument("--chapter", type=float, default=usual.chapter_s, help="seconds")
    parser.add_argument("--span", type=float, default=usual.span_s, help="seconds, at most")
    parser.add_argument(
        "--heard", type=float, default=usual.heard_s, help="seconds of audio for the language"
    )
    parser.add_argument("--decoding", type=float, help="x real time; default: WAV, read in part")
    parser.add_argument("--download", type=float, default=usual.download_s, help="seconds")
    parser.add_argument("--request", type=float, default=usual.request_s, help="seconds")
    parser.add_argument("--message", type=float, default=usual.message_s, help="seconds")
    parser.add_argument("--hours", default="0.5,1,2,4,10", help="comma-separated lengths")
    options = parser.parse_args(arguments)
    fleet = Fleet(
        workers=options.workers,
        speed=options.speed,
        detector=options.detector,
        chapter_s=options.chapter,
        span_s=options.span,
        heard_s=options.heard,
        decoding=options.decoding,
        download_s=options.download,
        request_s=options.request,
        message_s=options.message,
    )
    print(study(fleet, [float(length) for length in options.hours.split(",")]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
