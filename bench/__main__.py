"""``python -m bench``: every measurement of time and memory, one section after the other."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import cold, fanout, http, latency, memory, overhead, speed
from bench.plan import Plan
from bench.recordings import find
from bench.report import Section, write
from bench.workspace import say

SECTIONS: Mapping[str, Callable[[Plan], Section]] = {
    "speed": speed.run,
    "http": http.run,
    "latency": latency.run,
    "memory": memory.run,
    "cold": cold.run,
    "overhead": overhead.run,
    "fanout": fanout.run,
}
DEFAULT_MODELS = "tiny.en,base"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--only", default=",".join(SECTIONS), help=f"of {','.join(SECTIONS)}; default: all of them"
    )
    parser.add_argument("--models", default=DEFAULT_MODELS, help="comma-separated")
    parser.add_argument("--rounds", type=int, help="turns of every contender; default 3, quick 1")
    parser.add_argument("--audio", type=Path, help="a folder: manifest.jsonl, or .txt beside audio")
    parser.add_argument("--language", default="en", help="of files that do not say theirs")
    parser.add_argument("--quick", action="store_true", help="few files: does it run at all?")
    options = parser.parse_args(arguments)
    names = [name for name in options.only.split(",") if name]
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        parser.error(f"there is no section {', '.join(unknown)}")
    plan = Plan(
        models=tuple(options.models.split(",")),
        collection=find(options.audio, language=options.language),
        rounds=options.rounds or (1 if options.quick else 3),
        quick=options.quick,
    )
    about = {
        "collection": plan.collection.name,
        "models": plan.models,
        "rounds": plan.rounds,
        "quick": plan.quick,
    }
    found: list[Section] = []
    for name in names:
        say(f"--- {name}")
        found.append(SECTIONS[name](plan))
        print(f"{found[-1]}\n", flush=True)
    for path in write("bench", found, about=about):
        print(f"written to {path}")
    return 0 if all(section.met for section in found) else 1


if __name__ == "__main__":
    sys.exit(main())
