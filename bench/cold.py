"""Cold start: from the start of a process to the text of a short recording.

Ours is the worker's own ``transcribe`` verb, which checks the weights' hash and starts its
decoding process; beside it the shortest program that uses faster-whisper for the same. They take
turns. The disk cache is warm after the first round, which is not counted.
"""

import subprocess
import sys
import time
from collections.abc import Sequence

from bench.contenders import weights
from bench.plan import Plan
from bench.report import Section, Table
from bench.stats import in_turns, median_ratio, percentile
from bench.workspace import say
from whisperdrop_local.sample import bundled

OURS = "whisperdrop_worker transcribe"
DIRECT = "faster-whisper, a short script"
_TIMES = 7
_QUICK_TIMES = 2
_PROGRAM = """
import sys
from faster_whisper import WhisperModel
model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8", local_files_only=True)
segments, _ = model.transcribe(sys.argv[2], language="en", beam_size=5, vad_filter=True)
for segment in segments:
    print(segment.text, flush=True)
"""


def run(plan: Plan) -> Section:
    """Each model, both ways."""
    media = str(bundled().media)
    tables, data = [], {}
    for model in plan.models:
        ours = ["-m", "whisperdrop_worker", "transcribe", media, "-m", model, "-l", "en"]
        direct = ["-c", _PROGRAM, str(weights(model)), media]
        commands = {DIRECT: direct, OURS: ours}
        found: dict[str, list[float]] = {name: [] for name in commands}
        times = plan.amount(_TIMES, _QUICK_TIMES)
        for number, name in in_turns(list(commands), times + 1):
            seconds = first_text([sys.executable, *commands[name]])
            if number:
                found[name].append(seconds)
        say(f"{model}, cold start: done")
        tables.append(_table(model, found))
        data[model] = found
    return Section("cold", tables, data)


def first_text(command: Sequence[str]) -> float:
    """Seconds until ``command`` writes something other than space to its output."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        output = process.stdout
        seen = next((line for line in output or () if line.strip()), None)
        seconds = time.perf_counter() - began
        for _ in output or ():
            pass  # a full pipe would stop the program
    if seen is None or process.returncode != 0:
        raise SystemExit(f"a process that should transcribe failed: {command[1:3]}")
    return seconds


def _table(model: str, found: dict[str, list[float]]) -> Table:
    rows = [
        (
            name,
            f"{percentile(seconds, 50):.2f}",
            f"{max(seconds):.2f}",
            f"{median_ratio(seconds, found[DIRECT]):.2f}",
        )
        for name, seconds in found.items()
    ]
    return Table(
        f"{model}, process start to first text, {len(found[OURS])} times",
        ("", "p50 s", "slowest s", "time / direct"),
        rows,
    )
