"""A line for each segment that has text."""

from whisperdrop.domain.formats.scripts import one_line
from whisperdrop.domain.transcript import Transcript


def txt(transcript: Transcript) -> str:
    """The text alone."""
    lines = (one_line(segment.text) for segment in transcript.segments)
    return "".join(f"{line}\n" for line in lines if line)


def tsv(transcript: Transcript) -> str:
    """Start and end in whole milliseconds, and the text, as the ``whisper`` command writes it."""
    rows = ["start\tend\ttext\n"]
    for segment in transcript.segments:
        if line := one_line(segment.text):
            start = max(0, _millis(segment.start))
            rows.append(f"{start}\t{max(start, _millis(segment.end))}\t{line}\n")
    return "".join(rows)


def _millis(seconds: float) -> int:
    return round(min(max(seconds, -1e9), 1e9) * 1000)
