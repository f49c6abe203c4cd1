"""What a caller may ask of a transcription."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from whisperdrop.domain.languages import LANGUAGES


class TranscribeOptions(BaseModel):
    """Options of one job. ``None`` leaves the choice to the worker's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str | None = Field(None, description="Language code, e.g. `en`; detected when absent")
    task: Literal["transcribe", "translate"] = Field(
        "transcribe", description="`translate` writes English whatever is spoken"
    )
    prompt: str | None = Field(None, max_length=4000, description="Text that precedes the audio")
    hotwords: str | None = Field(None, max_length=1000, description="Names and terms to expect")
    temperature: float = Field(
        0.0, ge=0.0, le=1.0, description="0 starts at greedy search and climbs when decoding fails"
    )
    beam_size: int | None = Field(None, ge=1, le=10)
    vad_filter: bool | None = Field(None, description="Skip what is not speech")
    word_timestamps: bool = Field(False, description="Time every word")
    logprobs: bool = Field(False, description="Keep the log-probability of every token")

    @field_validator("language")
    @classmethod
    def _known_language(cls, value: str | None) -> str | None:
        if value is None or value == "":
            return None
        code = value.lower()
        if code not in LANGUAGES:
            raise ValueError(f"{value!r} is not a language code that Whisper knows, such as 'en'")
        return code

    @field_validator("prompt")
    @classmethod
    def _no_special_tokens(cls, value: str | None) -> str | None:
        # The tokenizer would read <|…|> as the tokens that steer the model.
        if value is not None and "<|" in value:
            raise ValueError("the prompt must not contain '<|'")
        return value

    @model_validator(mode="after")
    def _one_line_hotwords(self) -> Self:
        if self.hotwords is not None and any(c in self.hotwords for c in "<>\r\n"):
            raise ValueError("hotwords must be one line without '<' or '>'")
        return self
