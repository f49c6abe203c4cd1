"""A job's transcript, in every format."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from whisperdrop.domain.formats import CONTENT_TYPES, CueRules, Format, render
from whisperdrop.domain.transcript import Segment
from whisperdrop_api import examples
from whisperdrop_api.attachment import attachment, file_name
from whisperdrop_api.dependencies import Reader, ServicesDep
from whisperdrop_api.errors import refusals


class TranscriptQuery(CueRules):
    """How the transcript is rendered; the rules of cues matter to srt and vtt alone."""

    format: Format = "json"
    download: bool = Field(
        False, description="Answer as a file to save, named like the media: meeting.srt"
    )


_SEGMENT: dict[str, Any] = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 2.0,
    "text": " The quick brown fox.",
    "tokens": [383, 2068, 7586, 21831, 13],
    "temperature": 0.0,
    "avg_logprob": -0.21,
    "compression_ratio": 0.9,
    "no_speech_prob": 0.01,
}


class TranscriptBody(BaseModel):
    """`format=json`: the whole text, and the transcript as it is stored."""

    model_config = examples.shown(
        {
            "text": "The quick brown fox.",
            "version": 1,
            "job_id": examples.JOB_ID,
            "model": "tiny.en",
            "task": "transcribe",
            "language": "en",
            "language_probability": 1.0,
            "duration": 2.889,
            "duration_after_vad": 2.4,
            "segments": [_SEGMENT | {"words": None, "logprobs": None, "flags": []}],
        }
    )

    text: str
    version: int
    job_id: str
    model: str
    task: str
    language: str
    language_probability: float
    duration: float
    duration_after_vad: float
    segments: list[Segment]


class VerboseSegment(BaseModel):
    """A segment as OpenAI's API has it."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class VerboseWord(BaseModel):
    """A word and its time in seconds."""

    word: str
    start: float
    end: float


class DurationUsage(BaseModel):
    """What would be billed: seconds begun."""

    type: str = "duration"
    seconds: int


class VerboseBody(BaseModel):
    """`format=verbose_json`: what OpenAI's API answers; `words` where the job times words."""

    model_config = examples.shown(
        {
            "task": "transcribe",
            "language": "english",
            "duration": 2.889,
            "text": "The quick brown fox.",
            "segments": [_SEGMENT],
            "words": [{"word": "The", "start": 0.0, "end": 0.32}],
            "usage": {"type": "duration", "seconds": 3},
        }
    )

    task: str
    language: str = Field(description="English name, in lower case")
    duration: float
    text: str
    segments: list[VerboseSegment]
    words: list[VerboseWord] = Field(default_factory=list)
    usage: DurationUsage


_EXAMPLES: dict[Format, str] = {
    "txt": "Hello there.\nGeneral Kenobi.\n",
    "srt": "1\n00:00:00,000 --> 00:00:02,000\nHello there.\n",
    "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nHello there.\n",
    "tsv": "start\tend\ttext\n0\t2000\tHello there.\n",
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": TranscriptBody | VerboseBody,
        "description": "The transcript in the format that was asked for",
        "headers": {
            "Content-Disposition": {
                "description": "With `download`: the name of the file",
                "schema": {"type": "string"},
            }
        },
        "content": {
            CONTENT_TYPES[name].partition(";")[0]: {
                "schema": {"type": "string"},
                "example": example,
            }
            for name, example in _EXAMPLES.items()
        },
    },
    **refusals(401, 403, 404, 422, 500, 503),
    **refusals(409, description="No transcript (yet)"),
}

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get("/{job_id}/transcript", responses=_RESPONSES, response_class=Response)
def get_transcript(
    job_id: str, query: Annotated[TranscriptQuery, Query()], services: ServicesDep, key: Reader
) -> Response:
    """The transcript of a job that succeeded.

    Every format is made from the stored transcript when it is asked for, as often as you like.
    """
    transcript = services.jobs.transcript(key.tenant, job_id)
    rendering = render(transcript, query.format, query)
    # What somebody said is never to be taken for a page.
    headers = {"X-Content-Type-Options": "nosniff"}
    if query.download:
        name = services.jobs.view(key.tenant, job_id).name or job_id
        headers["Content-Disposition"] = attachment(file_name(name, rendering.extension))
    return Response(rendering.body, media_type=rendering.content_type, headers=headers)
