"""``python -m bench.one_file MODEL FILE``: a worker's engine and decoder on one file.

A line of JSON for each of ``ready`` (the model is loaded), ``first`` (the first segment) and
``done``, so that whoever started this process can look at it at that moment.
"""

import json
import sys
from pathlib import Path

from bench.engine import LocalEngine, has_text, worker_settings
from bench.recordings import Recording
from whisperdrop.domain.job import Progress


def main(model: str, file: Path) -> None:
    """Load, transcribe, tell."""
    announced: set[str] = set()

    def tell(event: str) -> None:
        if event not in announced:
            announced.add(event)
            print(json.dumps({"event": event}), flush=True)

    def on_progress(progress: Progress) -> None:
        if has_text(progress):
            tell("first")

    with LocalEngine(worker_settings(model)) as engine:
        tell("ready")
        recording = Recording(file, "", 0.0, "en")
        text = engine.transcribe(recording, on_progress=on_progress)
        print(json.dumps({"event": "done", "characters": len(text)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
