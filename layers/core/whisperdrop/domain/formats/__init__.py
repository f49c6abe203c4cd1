"""Renderings of a stored transcript, made when they are asked for.

plain.py       txt, tsv                 a line for each segment
documents.py   json, verbose_json       for programs
subtitles.py   srt, vtt                 writes cues down
cues.py        where cues begin and end, and for how long they stand
lines.py       where a cue's lines are broken
pieces.py      words of the text, and when each of them is spoken
breaks.py      how bad it is to break between two words
scripts.py     how wide a text is, and where scripts without spaces may be broken
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from whisperdrop.domain.formats.cues import Cue, cues
from whisperdrop.domain.formats.documents import dump, json_document, verbose_json
from whisperdrop.domain.formats.plain import tsv, txt
from whisperdrop.domain.formats.rules import CueRules
from whisperdrop.domain.formats.subtitles import srt, vtt
from whisperdrop.domain.transcript import Transcript

__all__ = [
    "CONTENT_TYPES",
    "FORMATS",
    "Cue",
    "CueRules",
    "Format",
    "Rendering",
    "cues",
    "render",
    "verbose_json",
]

Format = Literal["json", "verbose_json", "txt", "srt", "vtt", "tsv"]


@dataclass(frozen=True)
class Rendering:
    """Bytes to send or store, what they are, and the extension of a file of them."""

    body: bytes
    content_type: str
    extension: str


_DEFAULT_RULES = CueRules()
_TEXTS: dict[Format, Callable[[Transcript, CueRules], str]] = {
    "json": lambda transcript, _: dump(json_document(transcript)),
    "verbose_json": lambda transcript, _: dump(verbose_json(transcript)),
    "txt": lambda transcript, _: txt(transcript),
    "srt": lambda transcript, rules: srt(cues(transcript, rules)),
    "vtt": lambda transcript, rules: vtt(cues(transcript, rules)),
    "tsv": lambda transcript, _: tsv(transcript),
}
FORMATS = tuple(_TEXTS)
CONTENT_TYPES: dict[Format, str] = {
    "json": "application/json",
    "verbose_json": "application/json",
    "txt": "text/plain; charset=utf-8",
    # Nobody registered it, everybody uses it: shared-mime-info, Matroska, players.
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
}


def render(transcript: Transcript, name: Format, rules: CueRules = _DEFAULT_RULES) -> Rendering:
    """``transcript`` in the format ``name``; ``rules`` matter to srt and vtt alone."""
    return Rendering(
        body=_TEXTS[name](transcript, rules).encode(),
        content_type=CONTENT_TYPES[name],
        extension="json" if name == "verbose_json" else name,
    )
