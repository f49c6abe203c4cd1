"""SubRip and WebVTT: cues written down."""

import re
from collections.abc import Sequence

from whisperdrop.domain.formats.cues import Cue

_WORD_JOINER = "\u2060"
_CLOCK = re.compile(r"(\d:\d{1,2}:\d{1,2})(?=[.,]\d)")


def srt(cues: Sequence[Cue]) -> str:
    """SubRip, which has no specification: numbers, times, text as it is, a blank line.

    There is nothing to escape with that players agree upon. Only what could be taken for a line of
    times gets an invisible word joiner, which keeps parsers from that: arrows, and times to the
    millisecond where there are two in a line.
    """
    blocks = []
    for number, cue in enumerate(cues, 1):
        text = "\n".join(map(_no_times, cue.lines))
        blocks.append(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def _no_times(line: str) -> str:
    line = line.replace("-->", f"--{_WORD_JOINER}>")
    return _CLOCK.sub(rf"\1{_WORD_JOINER}", line) if len(_CLOCK.findall(line)) > 1 else line


def vtt(cues: Sequence[Cue]) -> str:
    """WebVTT (W3C): what would be markup or an arrow is escaped."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        text = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def _clock(seconds: float, point: str) -> str:
    """``hh:mm:ss`` and milliseconds; hours get more digits when they need them."""
    total, millis = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(total, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{point}{millis:03}"
