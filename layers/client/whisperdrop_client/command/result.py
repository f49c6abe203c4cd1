"""What became of one recording."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class Result:
    """How it ended; ``took_s`` in seconds of wall time, ``audio_s`` of recording."""

    shown: str
    status: Literal["succeeded", "failed", "skipped", "interrupted"] = "failed"
    job_id: str | None = None
    outputs: list[str] = field(default_factory=list)
    deduplicated: bool = False
    audio_s: float | None = None
    took_s: float = 0.0
    code: str | None = None
    message: str | None = None
    texts: dict[str, str] = field(default_factory=dict)
    """What is to be printed, by format."""

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        error = None if self.code is None else {"code": self.code, "message": self.message}
        return {
            "file": self.shown,
            "status": self.status,
            "job_id": self.job_id,
            "deduplicated": self.deduplicated,
            "outputs": self.outputs,
            "audio_s": self.audio_s,
            "took_s": round(self.took_s, 2),
            "error": error,
        }

    def describe(self) -> str:
        """The rest of its line, after its name."""
        if self.status == "failed":
            return f": {self.message}"
        where = f" → {', '.join(self.outputs)}" if self.outputs else ""
        if self.status == "skipped":
            return f": {self.message}"
        if self.status == "interrupted":
            return ""
        if self.deduplicated:
            return f"{where} (was transcribed before)"
        audio = f"{self.audio_s:,.1f} s of audio in " if self.audio_s is not None else ""
        return f"{where} ({audio}{self.took_s:,.1f} s)"
