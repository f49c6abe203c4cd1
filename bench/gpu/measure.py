"""Speed and accuracy on a GPU: faster-whisper sequential and batched, ours by size of batch.

``run.sh`` beside this file sets everything up and calls it. Without a GPU
``python -m bench.gpu.measure --device cpu --compute-type int8 --quick`` shows that it runs.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.accuracy import Row, score
from bench.contenders import BATCHED, OURS, Batched, Contender, Device, Whisperdrop, default
from bench.plan import Plan, understood
from bench.recordings import Recording, find, sets
from bench.report import Section, Table, write
from bench.speed import compare
from bench.workspace import WORKSPACE, cores, say

BATCH_SIZES = (1, 8, 16, 32)
_THEIR_BATCH = 16
_QUICK_CLIPS = 3


def contenders(model: str, device: Device) -> list[Contender]:
    """Ours with each size of batch, and twice as many files in flight."""
    theirs = Batched(model, device, batch_size=_THEIR_BATCH)
    theirs.name = f"{BATCHED} {_THEIR_BATCH}"
    ours = [
        Whisperdrop(
            model,
            device,
            name=f"{OURS}, batch {size}",
            in_flight=max(cores(), 2 * size),
            batch_size=size,
        )
        for size in BATCH_SIZES
    ]
    return [default(model, device), theirs, *ours]


def speed(model: str, device: Device, plan: Plan) -> Section:
    """The clips and the long file, in turns."""
    clips = understood(plan.clips(), model)[: _QUICK_CLIPS if plan.quick else None]
    name = Path(model).name
    found = [
        compare(
            f"{name}, {kind}",
            contenders(model, device),
            recordings,
            rounds=plan.rounds,
            warm_up=clips[0],
        )
        for kind, recordings in (("clips", clips), ("long file", plan.long_files()))
    ]
    return Section(
        f"speed, {name}",
        [one.table() for one in found],
        {one.title: one.as_json() for one in found},
        [one.chart() for one in found],
    )


def accuracy(model: str, device: Device, chosen: Mapping[str, Sequence[Recording]]) -> Section:
    """Error rates of every contender on every set."""
    every = {one.path: one for members in chosen.values() for one in members}
    recordings = understood(list(every.values()), model)
    name = Path(model).name
    rows: list[Row] = []
    for contender in contenders(model, device):
        say(f"{name}, accuracy: {contender.name}: {len(recordings)} files")
        with contender:
            texts = contender.transcribe(recordings)
        heard = dict(zip((one.path for one in recordings), texts, strict=True))
        rows += score(model, contender.name, chosen, heard)
    lines = [
        (
            f"{row.name}: {row.contender}",
            str(row.files),
            row.unit,
            f"{row.errors.rate * 100:.1f}",
            str(row.errors.substitutions),
            str(row.errors.deletions),
            str(row.errors.insertions),
        )
        for row in sorted(rows, key=lambda row: list(chosen).index(row.name))
    ]
    columns = ("", "files", "", "%", "substituted", "deleted", "inserted")
    return Section(
        f"accuracy, {name}",
        [Table(f"{name}, error rates", columns, lines)],
        {"rows": [row.as_json() | {"model": name} for row in rows]},
    )


def gpu() -> str | None:
    """Name, driver and memory of the GPU, as nvidia-smi has them; None where there is none."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="bench.gpu.measure", description=__doc__)
    parser.add_argument("--models", default="tiny.en", help="names or directories, comma-separated")
    parser.add_argument("--audio", type=Path, help="a folder: manifest.jsonl, or .txt beside audio")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--compute-type", default="float16")
    parser.add_argument("--rounds", type=int, help="turns of every contender; default 3, quick 1")
    parser.add_argument("--quick", action="store_true", help="three clips: does it run at all?")
    parser.add_argument("--out", type=Path, help="folder of the results; default: $OUT")
    options = parser.parse_args(arguments)
    device = Device(options.device, options.compute_type)
    collection = find(options.audio)
    found: list[Section] = []
    about = {
        "collection": collection.name,
        "gpu": gpu(),
        "device": device.name,
        "compute_type": device.compute_type,
        "quick": options.quick,
    }
    rounds = options.rounds or (1 if options.quick else 3)
    for model in options.models.split(","):
        plan = Plan((model,), collection, rounds, options.quick)
        chosen = {"clips": plan.clips()[:_QUICK_CLIPS]} if options.quick else sets(collection)
        for section in (speed(model, device, plan), accuracy(model, device, chosen)):
            found.append(section)
            print(f"{section}\n", flush=True)
    folder = options.out or Path(os.environ.get("OUT") or WORKSPACE)
    for path in write("gpu", found, about=about, folder=folder):
        print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
