"""How much audio waits, as far as can be known before anybody has decoded it.

Seconds are estimated from bytes. A pending marker says them by its length: blanks after its JSON
are no content, and a listing tells the size of everything. So one listing says what waits, and no
document of any job is read for it.
"""

import math
from dataclasses import dataclass
from pathlib import PurePosixPath

BYTES_PER_SECOND = {
    "aac": 12_000,
    "aif": 32_000,
    "aiff": 32_000,
    "flac": 17_500,
    "m4a": 12_000,
    "mkv": 60_000,
    "mov": 120_000,
    "mp3": 12_000,
    "mp4": 60_000,
    "mpeg": 60_000,
    "mpga": 12_000,
    "oga": 6_000,
    "ogg": 6_000,
    "opus": 4_500,
    "wav": 32_000,
    "webm": 15_000,
}
"""Of speech, by extension. Medians of some 360 recordings where there were several (flac, wav,
opus); else common settings of recorders: 96 kb/s for mp3 and m4a, half a megabit for video."""

_OTHER_BYTES_PER_SECOND = 16_000

_STEP = 1.02  # a length is right to 1 %, which is more than any estimate is
_LONGEST_STEP = 750  # 32 days
_SHORTEST_BODY = 64  # longer than the JSON of any marker


@dataclass(frozen=True)
class Load:
    """A job that waits for a worker, or that one works on."""

    audio_s: float
    interactive: bool = False
    """Its message is in the interactive queue."""


def estimate_s(name: str, size: int) -> float:
    """Seconds of audio in a file of that name with ``size`` bytes, about."""
    extension = PurePosixPath(name).suffix.removeprefix(".").lower()
    return max(1.0, size / BYTES_PER_SECOND.get(extension, _OTHER_BYTES_PER_SECOND))


def padded(body: bytes, load: Load | None) -> bytes:
    """``body``, a short JSON document, of a length that says ``load``; as it is for None."""
    if load is None:
        return body
    steps = min(_LONGEST_STEP, round(math.log(max(1.0, load.audio_s), _STEP)))
    return body.ljust(_SHORTEST_BODY + 2 * steps + load.interactive)


def load_of(size: int) -> Load | None:
    """What a marker of ``size`` bytes says; None for one whose media has not come yet."""
    if size < _SHORTEST_BODY:
        return None
    steps, interactive = divmod(size - _SHORTEST_BODY, 2)
    return Load(_STEP ** min(_LONGEST_STEP, steps), bool(interactive))
