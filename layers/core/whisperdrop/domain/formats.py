"""Renderings of a stored transcript, made when they are asked for."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from whisperdrop.domain.transcript import Transcript


@dataclass(frozen=True)
class Rendering:
    """Bytes to send or store, and what they are."""

    body: bytes
    content_type: str


def _json(transcript: Transcript) -> Rendering:
    document = {"text": transcript.text} | transcript.model_dump(mode="json", exclude_none=True)
    return Rendering(_dumps(document), "application/json")


def _txt(transcript: Transcript) -> Rendering:
    lines = [line for segment in transcript.segments if (line := segment.text.strip())]
    return Rendering("".join(f"{line}\n" for line in lines).encode(), "text/plain; charset=utf-8")


Format = Literal["json", "txt"]
_FORMATS: dict[Format, Callable[[Transcript], Rendering]] = {"json": _json, "txt": _txt}
FORMATS = tuple(_FORMATS)


def render(transcript: Transcript, name: Format) -> Rendering:
    """``transcript`` in the format ``name``."""
    return _FORMATS[name](transcript)


def _dumps(document: dict[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
