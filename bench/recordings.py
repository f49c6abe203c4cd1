"""What is measured: recordings of speech with what is said in them, and sets of them by tag.

Taken from the first of these that is there: a folder named on the command line or in
WHISPERDROP_AUDIO; ``shared/audio`` beside the project; the recordings of the pytest-audioeval
package. A folder holds a ``manifest.jsonl`` (one JSON object a line: file, text, language,
duration_s, tags, expect), or audio files with a ``.txt`` of the same name beside each; there, a
parent folder with a name of two letters says the language.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faster_whisper import decode_audio

from whisperdrop_local.sample import bundled

RATE = 16_000
LONGEST_CLIP_S = 25.0
_SUFFIXES = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".webm", ".mp4", ".aac", ".aiff")
_PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Recording:
    """One file, and what is known of it."""

    path: Path
    text: str
    duration_s: float
    language: str | None = None
    tags: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The file's."""
        return self.path.name


@dataclass(frozen=True)
class Collection:
    """All recordings of one place that have a text and a file."""

    name: str
    root: Path
    recordings: tuple[Recording, ...]

    def tagged(self, tag: str) -> list[Recording]:
        """Those with ``tag``."""
        return [one for one in self.recordings if tag in one.tags]

    def clips(self) -> list[Recording]:
        """The clips that speed is measured on: LibriSpeech, or else English, or else anything."""
        short = [one for one in self.recordings if one.duration_s < LONGEST_CLIP_S]
        english = [one for one in short if one.language in {None, "en"}]
        return [one for one in english if "librispeech" in one.tags] or english or short

    def nearest(self, seconds: float) -> Recording:
        """The clip whose length is nearest to ``seconds``."""
        return min(self.clips(), key=lambda one: abs(one.duration_s - seconds))


def find(folder: Path | None = None, *, language: str | None = "en") -> Collection:
    """The collection to measure; ``language`` is that of files which do not say."""
    named = os.environ.get("WHISPERDROP_AUDIO")
    beside = _PROJECT.parent / "shared" / "audio"
    if folder is None and named:
        folder = Path(named)
    if folder is None and (beside / "manifest.jsonl").is_file():
        folder = beside
    found = bundled_samples() if folder is None else read(folder, language)
    if not found.recordings:
        raise SystemExit(f"there are no recordings with a text in {folder}")
    return found


def bundled_samples() -> Collection:
    """Those of the pytest-audioeval package: short, clean, in ten languages."""
    found = read(bundled().media.parent.parent, None)
    return Collection("audioeval", found.root, found.recordings)


def read(folder: Path, language: str | None) -> Collection:
    """The recordings of a folder, with a manifest or without."""
    manifest = folder / "manifest.jsonl"
    if manifest.is_file():
        lines = [json.loads(line) for line in manifest.read_text("utf-8").splitlines() if line]
        listed = [_listed(folder, line) for line in lines if _usable(folder, line)]
        return Collection(folder.name, folder, tuple(listed))
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES)
    beside = [_beside(file, language) for file in files if file.with_suffix(".txt").is_file()]
    return Collection(folder.name, folder, tuple(beside))


def by_language(recordings: Sequence[Recording]) -> Mapping[str, list[Recording]]:
    """Lists of recordings under the codes of their languages, sorted."""
    languages = sorted({one.language or "en" for one in recordings})
    return {
        code: [one for one in recordings if (one.language or "en") == code] for code in languages
    }


def sets(collection: Collection) -> dict[str, list[Recording]]:
    """The sets that accuracy is reported for; a folder without known tags is one by language."""
    librispeech = [
        one for one in collection.tagged("librispeech") if one.duration_s < LONGEST_CLIP_S
    ]
    found = {
        "core": collection.tagged("core"),
        "librispeech": librispeech,
        "ljspeech": collection.tagged("ljspeech"),
        "part": collection.tagged("part"),
        **{one.path.stem: [one] for one in collection.tagged("long")},
    }
    multilingual = by_language(collection.tagged("multilingual"))
    found |= {f"multilingual {code}": members for code, members in multilingual.items()}
    found = {name: members for name, members in found.items() if members}
    if found:
        return found
    every = by_language(collection.recordings)
    return {f"{collection.name} {code}": members for code, members in every.items()}


def _usable(folder: Path, line: Mapping[str, Any]) -> bool:
    return (
        bool(line.get("text"))
        and line.get("expect", "ok") == "ok"
        and (folder / str(line["file"])).is_file()
    )


def _listed(folder: Path, line: Mapping[str, Any]) -> Recording:
    path = folder / str(line["file"])
    return Recording(
        path=path,
        text=str(line["text"]),
        duration_s=float(line.get("duration_s") or _duration(path)),
        language=line.get("language"),
        tags=frozenset(line.get("tags") or ()),
    )


def _beside(file: Path, language: str | None) -> Recording:
    folder = file.parent.name
    spoken = folder if len(folder) == 2 and folder.isalpha() else language
    return Recording(file, file.with_suffix(".txt").read_text().strip(), _duration(file), spoken)


def _duration(path: Path) -> float:
    return len(decode_audio(str(path))) / RATE
