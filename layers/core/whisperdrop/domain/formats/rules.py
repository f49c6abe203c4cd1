"""What a viewer can be asked to read: the rules that cues keep."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

# Netflix, Timed Text Style Guides of the languages: full-width characters in a line, and
# characters a second for adults. A half-width character counts as half of one.
_LINE_CHARS = {"zh": 16, "yue": 16, "ko": 16, "ja": 13}
_CHARS_PER_SECOND = {"zh": 9.0, "yue": 9.0, "ko": 12.0, "ja": 4.0}
_LINE_CHARS_ELSEWHERE = 42
_CHARS_PER_SECOND_ELSEWHERE = 20.0


class CueRules(BaseModel):
    """How much text a cue may have, and for how long it stands.

    The defaults are those of Netflix's Timed Text Style Guide (general requirements, and the
    guides of the languages): 42 characters in a line, two lines, 5/6 s to 7 s, two frames between
    cues, 20 characters a second. The BBC's Subtitle Guidelines and EBU-TT-D ask for much the same
    (two lines; 160 to 180 words a minute are 16 to 18 characters a second); teletext
    (EBU Tech 3264) had lines of 37 to 40 characters.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    max_line_chars: Annotated[int, Field(ge=4, le=100)] | SkipJsonSchema[None] = Field(
        None,
        description="Characters in a line of a cue, in srt and vtt. By default 42; in Chinese and "
        "Korean 16, in Japanese 13, where a half-width character counts as half of one. A longer "
        "word gets a line of its own",
    )
    max_lines: int = Field(2, ge=1, le=4, description="Lines in a cue")
    max_cue_seconds: float = Field(7.0, ge=1, le=30, description="A cue stands no longer")
    min_cue_seconds: float = Field(
        0.833,
        ge=0,
        le=10,
        description="A cue stands as long at least, where the next one leaves room for it",
    )
    min_gap_seconds: float = Field(
        0.083, ge=0, le=2, description="Time without text between cues; two frames by default"
    )
    max_chars_per_second: Annotated[float, Field(ge=1, le=100)] | SkipJsonSchema[None] = Field(
        None,
        description="A cue stands long enough to be read at this speed, where the next one leaves "
        "room for it. By default 20; in Chinese 9, in Korean 12, in Japanese 4",
    )

    @model_validator(mode="after")
    def _some_duration_is_left(self) -> Self:
        if self.min_cue_seconds > self.max_cue_seconds:
            raise ValueError("min_cue_seconds must not be more than max_cue_seconds")
        return self

    def line_chars(self, language: str) -> int:
        """Characters in a line of this language."""
        return self.max_line_chars or _LINE_CHARS.get(language, _LINE_CHARS_ELSEWHERE)

    def chars_per_second(self, language: str) -> float:
        """Characters a second in this language."""
        if self.max_chars_per_second is not None:
            return self.max_chars_per_second
        return _CHARS_PER_SECOND.get(language, _CHARS_PER_SECOND_ELSEWHERE)
