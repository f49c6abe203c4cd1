"""A transcript in the response formats of this door."""

from math import ceil
from typing import Any

from fastapi.responses import JSONResponse, Response

from whisperdrop.domain import formats
from whisperdrop.domain.transcript import Segment, Transcript
from whisperdrop_api.routes.openai.form import AudioRequest

_PLAIN = "text/plain; charset=utf-8"
_VTT = "text/vtt; charset=utf-8"


def render(transcript: Transcript, asked: AudioRequest) -> Response:
    """The answer for a job that succeeded."""
    match asked.response_format:
        case "text":
            return Response(f"{transcript.text}\n", media_type=_PLAIN)
        case "srt":
            return Response(formats.render(transcript, "srt").body, media_type=_PLAIN)
        case "vtt":
            return Response(formats.render(transcript, "vtt").body, media_type=_VTT)
        case "verbose_json":
            return JSONResponse(_verbose(transcript, asked))
        case "json":
            return JSONResponse(_plain(transcript, asked))


def logprobs_of(segment: Segment) -> list[dict[str, Any]]:
    """The text's tokens with their natural-log probabilities."""
    return [one.model_dump(mode="json") for one in segment.logprobs or ()]


def _plain(transcript: Transcript, asked: AudioRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"text": transcript.text}
    if asked.options.task == "translate":
        return body
    if asked.options.logprobs:
        body["logprobs"] = [one for seg in transcript.segments for one in logprobs_of(seg)]
    return body | {"usage": {"type": "duration", "seconds": ceil(transcript.duration)}}


def _verbose(transcript: Transcript, asked: AudioRequest) -> dict[str, Any]:
    words = "word" in asked.granularities
    body = formats.verbose_json(transcript, segments="segment" in asked.granularities, words=words)
    return {"words": []} | body if words else body
