"""What a caller may ask of a transcription."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Whisper's own language table (openai/whisper, tokenizer.py; 99 languages and Cantonese).
LANGUAGES = frozenset(
    (  # noqa: SIM905 - a list of 100 literals would be 100 lines
        "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no "
        "th ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw "
        "gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl "
        "mg as tt haw ln ha ba jw su yue"
    ).split()
)


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
