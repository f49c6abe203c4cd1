"""Word error rates by set: ``python -m bench.accuracy``.

For each model and set, faster-whisper's sequential ``transcribe`` and Whisperdrop's engine on the
same files: substitutions, deletions, insertions, and their sum over what was said. Texts of
faster-whisper are kept under .local/bench/cache and asked for anew when the file, the model, a
library or an option is another; ours never are.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.contenders import OPTIONS, OURS, Contender, Device, Whisperdrop, best
from bench.plan import understood
from bench.recordings import Collection, Recording, bundled_samples, by_language, find, sets
from bench.report import Bar, Chart, Section, Table, write
from bench.scoring import Errors, errors, total, unit
from bench.synthesis import from_plan
from bench.workspace import CACHE, say

SEQUENTIAL = "faster-whisper, sequential"
_LIBRARIES = ("faster-whisper", "ctranslate2", "av", "onnxruntime")
_LONG = "long30"
_QUICK_FILES = 1

Texts = Mapping[Path, str]


@dataclass(frozen=True)
class Row:
    """One contender on one set."""

    model: str
    name: str
    contender: str
    files: int
    audio_s: float
    unit: str
    errors: Errors

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "model": self.model,
            "set": self.name,
            "contender": self.contender,
            "files": self.files,
            "audio_s": self.audio_s,
            "unit": self.unit,
            **self.errors.as_json(),
        }


class CachedContender:
    """A contender's texts, each made once. Its time means nothing."""

    def __init__(self, contender: Contender, model: str, folder: Path = CACHE) -> None:
        self._contender = contender
        self._model = model
        self._folder = folder

    def transcribe(self, recordings: Sequence[Recording]) -> list[str]:
        """The text of each; the model is loaded only where one is missing."""
        files = {one.path: self._folder / f"{self.key(one)}.json" for one in recordings}
        missing = [one for one in recordings if not files[one.path].is_file()]
        if missing:
            say(f"{self._model}: {self._contender.name}: {len(missing)} files are not in the cache")
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._contender:
                # Few at a time, so that what was done is kept when somebody loses patience.
                for start in range(0, len(missing), 8):
                    some = missing[start : start + 8]
                    for one, text in zip(some, self._contender.transcribe(some), strict=True):
                        files[one.path].write_text(json.dumps({"text": text}, ensure_ascii=False))
        return [str(json.loads(files[one.path].read_text())["text"]) for one in recordings]

    def key(self, recording: Recording) -> str:
        """Of everything that may change the text."""
        made_with = {
            "contender": self._contender.name,
            "model": self._model,
            "file": hashlib.sha256(recording.path.read_bytes()).hexdigest(),
            "language": recording.language,
            "options": OPTIONS,
            "device": Device().__dict__,
            "versions": {name: version(name) for name in _LIBRARIES},
        }
        return hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()


def chosen_sets(
    collection: Collection, *, only: Sequence[str] = (), long: bool = True, quick: bool = False
) -> dict[str, list[Recording]]:
    """The sets to score, the bundled recordings among them; ``only`` by name or first word."""
    found = sets(collection)
    if long and not quick and _LONG not in found and (not only or _LONG in only):
        spoken = {
            one.path.relative_to(collection.root).as_posix(): one.text
            for one in collection.recordings
        }
        made = from_plan(collection.root, _LONG, spoken)
        if made is not None:
            found[_LONG] = [made]
    if collection.name != "audioeval":
        samples = by_language(bundled_samples().recordings)
        found |= {f"audioeval {code}": members for code, members in samples.items()}
    if only:
        found = {
            name: members
            for name, members in found.items()
            if name in only or name.partition(" ")[0] in only
        }
    if quick:
        found = {
            name: members[:_QUICK_FILES]
            for name, members in found.items()
            if not name.startswith("long")
        }
    return found


def score(
    model: str, contender: str, chosen: Mapping[str, Sequence[Recording]], texts: Texts
) -> list[Row]:
    """A row for each set with something in it that ``model`` understands."""
    rows = []
    for name, members in chosen.items():
        recordings = understood(members, model)
        if recordings:
            each = [errors(one.text, texts[one.path], one.language) for one in recordings]
            audio_s = sum(one.duration_s for one in recordings)
            counted = unit(recordings[0].language)
            rows.append(Row(model, name, contender, len(recordings), audio_s, counted, total(each)))
    return rows


def measure(model: str, chosen: Mapping[str, Sequence[Recording]]) -> list[Row]:
    """Both contenders; a file that is in several sets is transcribed once."""
    every = {one.path: one for members in chosen.values() for one in members}
    recordings = understood(list(every.values()), model)
    if not recordings:
        return []
    sequential = best(model)  # the layout changes the time, not the text
    sequential.name = SEQUENTIAL
    theirs = CachedContender(sequential, model).transcribe(recordings)
    say(f"{model}: {OURS}: {len(recordings)} files")
    with Whisperdrop(model, Device()) as contender:
        ours = contender.transcribe(recordings)
    paths = [one.path for one in recordings]
    return [
        *score(model, SEQUENTIAL, chosen, dict(zip(paths, theirs, strict=True))),
        *score(model, OURS, chosen, dict(zip(paths, ours, strict=True))),
    ]


def section(rows: Sequence[Row]) -> Section:
    """A table and a chart for each model."""
    models = dict.fromkeys(row.model for row in rows)
    by_model = {model: [row for row in rows if row.model == model] for model in models}
    return Section(
        "accuracy",
        [_table(model, found) for model, found in by_model.items()],
        {"rows": [row.as_json() for row in rows]},
        [_chart(model, found) for model, found in by_model.items()],
    )


def _table(model: str, rows: Sequence[Row]) -> Table:
    lines = []
    for theirs, ours in _pairs(rows):
        difference = (ours.errors.rate - theirs.errors.rate) * 100
        lines.append(
            (
                theirs.name,
                str(theirs.files),
                f"{theirs.audio_s:.0f}",
                theirs.unit,
                f"{theirs.errors.rate * 100:.1f}",
                _split(theirs.errors),
                f"{ours.errors.rate * 100:.1f}",
                _split(ours.errors),
                f"{difference:+.1f}",
            )
        )
    columns = ("set", "files", "s", "", "sequential %", "s/d/i", "whisperdrop %", "s/d/i", "+/-")
    note = "s/d/i: substituted, deleted, inserted; CER counts characters instead of words"
    return Table(f"{model}, error rates", columns, lines, note)


def _chart(model: str, rows: Sequence[Row]) -> Chart:
    bars = []
    for pair in _pairs(rows):
        for row in pair:
            label = f"{row.name}: {row.contender.partition(',')[0]}"
            bars.append(Bar(label, row.errors.rate * 100, row.contender == OURS))
    return Chart(f"{model}: error rate by set, lower is better", bars, " %")


def _pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    theirs = [row for row in rows if row.contender == SEQUENTIAL]
    ours = {row.name: row for row in rows if row.contender == OURS}
    return [(row, ours[row.name]) for row in theirs]


def _split(found: Errors) -> str:
    return f"{found.substitutions}/{found.deletions}/{found.insertions}"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="bench.accuracy", description=__doc__)
    parser.add_argument("--models", default="tiny.en,base", help="comma-separated")
    parser.add_argument("--sets", default="", help="such as core,long10,multilingual; default: all")
    parser.add_argument("--audio", type=Path, help="a folder: manifest.jsonl, or .txt beside audio")
    parser.add_argument("--language", default="en", help="of files that do not say theirs")
    parser.add_argument("--quick", action="store_true", help="one file a set, no long ones")
    options = parser.parse_args(arguments)
    collection = find(options.audio, language=options.language)
    only = [name for name in options.sets.split(",") if name]
    chosen = chosen_sets(collection, only=only, quick=options.quick)
    if not chosen:
        parser.error(f"there is no set called {options.sets} in {collection.name}")
    rows: list[Row] = []
    for model in options.models.split(","):
        rows += measure(model, chosen)
    found = section(rows)
    print(found)
    for path in write("accuracy", [found], about={"collection": collection.name}):
        print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
