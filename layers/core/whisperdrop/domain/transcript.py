"""The transcript: what the engine writes and what every door renders."""

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    # JSON has no NaN: it would be stored as null, and nobody could read the document again.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Word(_Frozen):
    """One word; times in seconds from the start of the recording."""

    word: str
    start: float
    end: float
    probability: float = Field(ge=0, le=1)


class TokenLogprob(_Frozen):
    """A token of the text: what it says, its UTF-8 bytes, and its natural-log probability.

    A character may be more than one token; ``token`` has U+FFFD in place of a part of one.
    """

    token: str
    bytes: tuple[int, ...]
    logprob: float = Field(le=0)


class Segment(_Frozen):
    """A stretch of speech; the fields are those of OpenAI's verbose_json.

    ``seek`` is the offset of the decoded window in frames of 10 ms, ``tokens`` the token ids,
    ``avg_logprob`` the mean natural-log probability of the tokens.
    """

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...] = ()
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_prob: float = 0.0
    words: tuple[Word, ...] | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    """Of the text's tokens, where they were asked for."""
    flags: tuple[str, ...] = ()
    """What was done to the segment beyond plain decoding, for example ``redecoded``."""


class Transcript(_Frozen):
    """``results/{tenant}/{job}/transcript.json``. Durations are in seconds."""

    version: int = 1
    job_id: str
    model: str
    task: str
    language: str
    """ISO 639-1 code of the language spoken."""
    language_probability: float = 1.0
    duration: float
    duration_after_vad: float
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The whole text, segments joined by what the model put between them."""
        return "".join(segment.text for segment in self.segments).strip()
