"""JSON: our own document, and OpenAI's ``verbose_json``."""

import json
from math import ceil
from typing import Any

from whisperdrop.domain.languages import LANGUAGE_NAMES
from whisperdrop.domain.transcript import Segment, Transcript

_SEGMENT_FIELDS = {
    "id",
    "seek",
    "start",
    "end",
    "text",
    "tokens",
    "temperature",
    "avg_logprob",
    "compression_ratio",
    "no_speech_prob",
}
"""OpenAI's fields; all of them are required."""


def json_document(transcript: Transcript) -> dict[str, Any]:
    """The stored transcript and its whole text."""
    return {"text": transcript.text} | transcript.model_dump(mode="json", exclude_none=True)


def verbose_json(
    transcript: Transcript, *, segments: bool = True, words: bool = True
) -> dict[str, Any]:
    """What OpenAI's API answers to ``response_format=verbose_json``.

    Every field of a segment is there, always. ``words`` are there where they were asked for when
    the job was made.
    """
    language = "en" if transcript.task == "translate" else transcript.language
    document: dict[str, Any] = {
        "task": transcript.task,
        "language": LANGUAGE_NAMES.get(language, language),
        "duration": transcript.duration,
        "text": transcript.text,
    }
    if segments:
        document["segments"] = [_segment(segment) for segment in transcript.segments]
    if words and any(segment.words is not None for segment in transcript.segments):
        document["words"] = [
            {"word": text, "start": word.start, "end": word.end}
            for segment in transcript.segments
            for word in segment.words or ()
            if (text := word.word.strip())
        ]
    return document | {"usage": {"type": "duration", "seconds": ceil(transcript.duration)}}


def _segment(segment: Segment) -> dict[str, Any]:
    return segment.model_dump(mode="json", exclude={"words", "logprobs", "flags"})


def dump(document: dict[str, Any]) -> str:
    """JSON with letters as they are."""
    return json.dumps(document, ensure_ascii=False)
