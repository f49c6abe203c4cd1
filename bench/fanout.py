"""How much faster a long recording gets with more workers: a simulation, event by event.

It does what ``whisperdrop_worker.fanout`` does, with given speeds and latencies in place of models
and machines: one worker plans the whole recording, invitations reach workers at random, each
claims the next free span and goes on until none is free, the holder of the job puts it together.

``python -m bench.fanout --speed 50 --workers 64``
"""

import argparse
import heapq
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.plan import Plan
from bench.report import Section, Table

_INVITATIONS = 3  # for each worker, as in whisperdrop_worker.fanout
_ROUNDS = 5
_GOOD = 0.8  # of linear


@dataclass(frozen=True)
class Fleet:
    """What is simulated. Speeds are times real time of one worker; the rest are seconds.

    ``front_end`` cuts a recording, ``decoding`` gives the samples before a span where they cannot
    be skipped (None: a WAV, of which each reads its part). ``jitter`` is the share by which the
    time of a span varies. ``streamed`` is a planner that publishes each span as soon as it is cut,
    which the worker does not do yet.
    """

    workers: int = 64
    speed: float = 50.0
    front_end: float = 450.0
    decoding: float | None = None
    span_s: float = 600.0
    download_s: float = 5.0
    request_s: float = 0.03
    message_s: float = 0.1
    poll_s: float = 1.0
    jitter: float = 0.1
    streamed: bool = False

    def alone_s(self, audio_s: float) -> float:
        """One worker without a plan: its front end works beside the model."""
        return self.download_s + audio_s / min(self.speed, self.front_end)


def shared_s(fleet: Fleet, audio_s: float, seed: int = 0) -> float:
    """Seconds from the download to the transcript, with all of ``fleet`` free."""
    chance = random.Random(seed)  # noqa: S311 - a simulation
    count = max(1, round(audio_s / fleet.span_s))
    length_s = audio_s / count
    begin_s = fleet.download_s
    planned_s = begin_s + audio_s / fleet.front_end
    cut_s = [
        (begin_s + (n + 1) * length_s / fleet.front_end if fleet.streamed else planned_s)
        + fleet.request_s
        for n in range(count)
    ]
    free = _arrivals(fleet, count, cut_s[0], planned_s + fleet.request_s, chance)
    at = [0] * fleet.workers  # the span that a worker's decoder has come to
    ended = []
    for n in range(count):
        now, worker = heapq.heappop(free)
        # A listing of parts, one of leases, the claim; then the model or the first bytes of it.
        start = max(now + 3 * fleet.request_s, cut_s[n])
        skipped_s = 0.0
        if fleet.decoding is not None:
            skipped_s = (n - at[worker]) * length_s / fleet.decoding
            skipped_s += fleet.download_s if not at[worker] and worker else 0.0
        at[worker] = n + 1
        work_s = length_s / fleet.speed * (1 + chance.uniform(-fleet.jitter, fleet.jitter))
        end = start + fleet.request_s + skipped_s + work_s + fleet.request_s
        ended.append(end)
        heapq.heappush(free, (end, worker))
    # The holder looks every now and then, and reads the parts eight at a time.
    merge_s = (-(-count // 8) + 3) * fleet.request_s
    return max(ended) + fleet.poll_s / 2 + merge_s


def _arrivals(
    fleet: Fleet, spans: int, first_s: float, planner_s: float, chance: random.Random
) -> list[tuple[float, int]]:
    """When each worker begins; those that no message reaches never do. A heap."""
    messages = max(spans, _INVITATIONS * (fleet.workers - 1))
    begins = {0: planner_s}  # the planner itself
    for number in range(messages):
        worker = chance.randrange(fleet.workers)
        at = first_s + fleet.message_s + number / 8 * fleet.request_s
        begins[worker] = min(begins.get(worker, at), at) if worker else planner_s
    heap = [(at, worker) for worker, at in begins.items()]
    heapq.heapify(heap)
    return heap


def efficiency(fleet: Fleet, audio_s: float) -> tuple[float, float]:
    """Speed-up over one worker, and its share of linear; the mean of some rounds."""
    mean_s = sum(shared_s(fleet, audio_s, seed) for seed in range(_ROUNDS)) / _ROUNDS
    speedup = fleet.alone_s(audio_s) / mean_s
    return speedup, speedup / fleet.workers


def best(fleet: Fleet, audio_s: float) -> tuple[Fleet, float, float]:
    """The span length of some that is fastest, with its speed-up and share of linear."""
    tried = [replace(fleet, span_s=span_s) for span_s in (60, 120, 300, 600) if span_s < audio_s]
    found = [(*efficiency(one, audio_s), one) for one in tried or [fleet]]
    speedup, share, one = max(found, key=lambda entry: entry[0])
    return one, speedup, share


def run(plan: Plan) -> Section:
    """The usual fleet."""
    return study(Fleet(), (1, 10) if plan.quick else (0.5, 1, 2, 4, 10))


def study(fleet: Fleet, hours: Sequence[float]) -> Section:
    """Tables of speed-up by workers and by length."""
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < fleet.workers]
    by_workers = []
    data: dict[str, list[dict[str, float]]] = {"by_workers": [], "by_length": []}
    for count in [*counts, fleet.workers]:
        some = replace(fleet, workers=count)
        serial, ahead = (
            best(some, hours[-1] * 3600),
            best(replace(some, streamed=True), hours[-1] * 3600),
        )
        by_workers.append(_row(str(count), serial, ahead))
        data["by_workers"].append({"workers": count, "share": serial[2], "streamed": ahead[2]})
    by_length = []
    for length in hours:
        serial, ahead = (
            best(fleet, length * 3600),
            best(replace(fleet, streamed=True), length * 3600),
        )
        by_length.append(_row(f"{length:g} h", serial, ahead))
        data["by_length"].append({"hours": length, "share": serial[2], "streamed": ahead[2]})
    columns = ("", "span", "speed-up", "of linear", "planned ahead", "of linear")
    bound = fleet.front_end / (fleet.front_end + fleet.workers * fleet.speed)
    most = fleet.front_end * (1 - _GOOD) / _GOOD
    note = (
        f"one front end at {fleet.front_end:g}x before workers of {fleet.speed:g}x: never above "
        f"{bound:.2f} of linear with {fleet.workers} of them, however long the recording is; "
        f"{_GOOD} is possible up to {most:.0f}x of all workers together, and up to "
        f"{fleet.front_end / _GOOD:.0f}x where spans are published as they are cut"
    )
    return Section(
        "fanout",
        [
            Table(f"A recording of {hours[-1]:g} h, by workers", columns, by_workers),
            Table(f"{fleet.workers} workers, by length", columns, by_length, note),
        ],
        data,
    )


def _row(
    name: str, serial: tuple[Fleet, float, float], ahead: tuple[Fleet, float, float]
) -> tuple[str, ...]:
    return (
        name,
        f"{serial[0].span_s:g} s",
        f"{serial[1]:.1f}",
        f"{serial[2]:.2f}",
        f"{ahead[1]:.1f}",
        f"{ahead[2]:.2f}",
    )


def main(arguments: list[str] | None = None) -> int:
    """Simulate and print."""
    parser = argparse.ArgumentParser(prog="bench.fanout", description=__doc__)
    usual = Fleet()
    parser.add_argument("--workers", type=int, default=usual.workers)
    parser.add_argument("--speed", type=float, default=usual.speed, help="x real time, a worker")
    parser.add_argument("--front-end", type=float, default=usual.front_end, help="x real time")
    parser.add_argument("--decoding", type=float, help="x real time; default: WAV, read in part")
    parser.add_argument("--download", type=float, default=usual.download_s, help="seconds")
    parser.add_argument("--request", type=float, default=usual.request_s, help="seconds")
    parser.add_argument("--message", type=float, default=usual.message_s, help="seconds")
    parser.add_argument("--hours", default="0.5,1,2,4,10", help="comma-separated lengths")
    options = parser.parse_args(arguments)
    fleet = Fleet(
        workers=options.workers,
        speed=options.speed,
        front_end=options.front_end,
        decoding=options.decoding,
        download_s=options.download,
        request_s=options.request,
        message_s=options.message,
    )
    print(study(fleet, [float(length) for length in options.hours.split(",")]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
