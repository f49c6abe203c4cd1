"""Checkpoints: what is finished of a job that goes on."""

from pydantic import BaseModel, ConfigDict, Field

from whisperdrop.domain.transcript import Segment

PART_VERSION = 2
"""The parts that this version writes, and the only ones that it goes on from."""


class Part(BaseModel):
    """``jobs/{tenant}/{job}/parts/{n}.json``: consecutive windows, write-once. Seconds of audio.

    Parts follow each other without gaps: each begins with the window after its predecessor's last.
    ``first_window`` and ``end_window`` (exclusive) count the windows that the recording was cut
    into, ``end_s`` is where the last of them ends; ``chapter`` is the last window's chapter, and
    ``chapter_window`` the window that it begins with. Parts of a shared recording are whole
    chapters: there ``first_window`` and ``end_window`` count those.

    ``version`` goes up whenever recordings are cut in another way: the numbers of windows mean
    something else then.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    version: int = PART_VERSION
    n: int
    first_window: int
    end_window: int
    chapter: int = 0
    chapter_window: int = 0
    end_s: float
    window_s: float = Field(description="Length of the windows together")
    language: str
    language_probability: float = 1.0
    engine_s: float = 0.0
    """Seconds in the model; only a span of a shared recording has them."""
    duration: float | None = None
    """Of the recording, where whoever did the last span of a shared one came to its end."""
    segments: tuple[Segment, ...]
    """Numbered from 0 in each part."""

    def follows(self, before: "Part | None") -> bool:
        """Whether a job may go on after this part, the one after ``before``."""
        n, window = (before.n + 1, before.end_window) if before else (0, 0)
        return (self.version, self.n, self.first_window) == (PART_VERSION, n, window)
