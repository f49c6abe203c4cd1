"""What the worker and its decoder say to each other.

The worker sends one ``DecodeJob``. The decoder answers with frames: one letter, a length, and a
payload of that many bytes. The worker checks each of them, because the process that sends them
has read a stranger's file.
"""

import json
import struct
from dataclasses import asdict, dataclass
from typing import Self

SAMPLE_RATE = 16_000
"""Samples a second of everything that is decoded: Whisper's own rate."""

BLOCK_SECONDS = 30
MAX_PAYLOAD_BYTES = 2 * BLOCK_SECONDS * SAMPLE_RATE

MAX_EXPECTED_SECONDS = 1e7
"""Nearly four months: whatever declares to be longer is wrong."""

HEADER = struct.Struct("<cI")
SAMPLES = b"A"  # 16-bit little-endian samples, at most BLOCK_SECONDS of them
EXPECTED = b"L"  # JSON {"expected_s": number or null}: the first frame, if there is one
FAILED = b"E"  # JSON {"code", "message"}, codes of whisperdrop.errors; the last frame
DONE = b"D"  # empty: everything was sent; the last frame


@dataclass(frozen=True)
class DecodeLimits:
    """What one file may cost.

    ``max_seconds`` of audio; ``memory_bytes`` of address space (at least 256 MB: the program and
    its libraries alone take half of that); ``cpu_seconds`` of processor time; ``idle_seconds`` of
    wall time in which the decoder sends nothing.
    """

    max_seconds: float = 10 * 3600.0
    memory_bytes: int = 1024 * 2**20
    cpu_seconds: int = 900
    idle_seconds: float = 120.0


@dataclass(frozen=True)
class DecodeJob:
    """One file, ``name`` in ``directory``, and the limits that the decoder itself keeps."""

    directory: str
    name: str
    max_seconds: float
    memory_bytes: int
    cpu_seconds: int

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of ``to_bytes``."""
        return cls(**json.loads(data))


def plausible_seconds(value: object) -> float | None:
    """``value`` if it is a length that a recording may have, in seconds; otherwise None.

    Not for limits: what is plausible may still be a lie.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 < value <= MAX_EXPECTED_SECONDS else None  # a NaN is not either
