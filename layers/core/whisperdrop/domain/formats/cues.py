"""Cues: how a transcript is divided for the eye, and when each division is seen.

Which words share a cue is decided for the whole transcript at once, by the cheapest division that
keeps the limits of lines: whole sentences first, then clauses, no orphans, nothing across a pause,
nothing too short or too fast to be read. Times follow from the words' and the rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from whisperdrop.domain.formats.breaks import SENTENCE, ends_sentence, penalty
from whisperdrop.domain.formats.lines import layout, width_of
from whisperdrop.domain.formats.pieces import Piece, pieces
from whisperdrop.domain.formats.rules import CueRules
from whisperdrop.domain.formats.scripts import FULL_WIDTH
from whisperdrop.domain.transcript import Transcript

_ALWAYS_APART_MS = 2000
"""A pause after which a new cue begins; from ``_PAUSE_MS`` on, the longer, the better it is."""
_PAUSE_MS = 500
_JOINED_MS = 500
"""Netflix: a gap of less than half a second (12 frames) is closed to the smallest one."""
_DELAY_MS = 300
"""How much later than its first word a cue may come, so that the one before can be read."""

# What a division costs, in the measure of breaks.py.
_CUE = 5.0
_BREAK = 1.5  # times the break's own penalty: worse than within a cue
_TWO_SENTENCES = 8.0
_TWO_SPEAKERS = 4.0  # more: a question and what follows, or what Whisper put into two segments
_PAUSE_PER_S = 8.0
_SHORT_PER_S = 10.0
_COMFORTABLE_MS = 1200
_FAST_PER_S = 10.0
_LONG_PER_S, _LONG_MOST = 12.0, 40.0
_ORPHAN, _ORPHAN_COLUMNS = 14.0, 12
_EMPTY = 4.0


@dataclass(frozen=True)
class Cue:
    """Text that is seen at a time; ``start`` and ``end`` in seconds, whole milliseconds."""

    start: float
    end: float
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lines, one under the other."""
        return "\n".join(self.lines)


@dataclass(frozen=True)
class _Limits:
    """The rules for a language, in columns and milliseconds."""

    widest: int
    lines: int
    longest_ms: int
    shortest_ms: int
    gap_ms: int
    columns_per_s: float

    @classmethod
    def of(cls, rules: CueRules, language: str) -> "_Limits":
        per_char = 2 if language in FULL_WIDTH else 1
        return cls(
            widest=rules.line_chars(language) * per_char,
            lines=rules.max_lines,
            longest_ms=round(rules.max_cue_seconds * 1000),
            shortest_ms=ceil(rules.min_cue_seconds * 1000),
            gap_ms=round(rules.min_gap_seconds * 1000),
            columns_per_s=rules.chars_per_second(language) * per_char,
        )

    def reading_ms(self, width: int) -> int:
        """How long a cue of ``width`` columns should stand."""
        return max(self.shortest_ms, ceil(width * 1000 / self.columns_per_s))

    def price_of_haste(self, width: int, room: int) -> float:
        """What it costs that a cue of ``width`` columns has ``room`` milliseconds."""
        wanted = max(min(self.reading_ms(width), self.longest_ms), _COMFORTABLE_MS)
        fast, short = max(0, wanted - room), max(0, self.shortest_ms - room)
        return (fast * _FAST_PER_S + short * _SHORT_PER_S) / 1000

    def price_of_length(self, spoken: int) -> float:
        """What it costs that a cue disappears before all of it is spoken."""
        return min(max(0, spoken - self.longest_ms) * _LONG_PER_S / 1000, _LONG_MOST)


def cues(transcript: Transcript, rules: CueRules | None = None) -> tuple[Cue, ...]:
    """The transcript as cues: in order, without overlap, with all of its text."""
    language = "en" if transcript.task == "translate" else transcript.language
    limits = _Limits.of(rules or CueRules(), language)
    spoken = pieces(transcript, language, limits.widest)
    penalties = [penalty(left, right, language) for left, right in pairwise(spoken)]
    ranges = _divided(spoken, penalties, limits)
    texts = [
        layout(spoken[first:end], penalties[first:end], limits.widest) for first, end in ranges
    ]
    groups = [spoken[first:end] for first, end in ranges]
    times = _times(groups, limits, round(min(transcript.duration, 1e9) * 1000))
    return tuple(
        Cue(start / 1000, end / 1000, lines)
        for (start, end), lines in zip(times, texts, strict=True)
    )


def _divided(
    spoken: Sequence[Piece], penalties: Sequence[float], limits: _Limits
) -> list[tuple[int, int]]:
    """The cheapest division of ``spoken``, as ranges of it."""
    size = len(spoken)
    inside = _inside(spoken, penalties)
    best = [0.0] + [float("inf")] * size
    came = [0] * (size + 1)
    full = limits.widest * limits.lines
    for first in range(size):
        begin, so_far = spoken[first].start, best[first] + _CUE
        whole_before = first == 0 or penalties[first - 1] == SENTENCE
        line, count, width, shared = 0, 1, 0, 0.0
        for last in range(first, size):
            piece = spoken[last]
            if last == first:
                line = width = piece.columns
            else:
                shared += inside[last - 1]
                width += piece.space + piece.columns
                line += piece.space + piece.columns
                if line > limits.widest:
                    count, line = count + 1, piece.columns
                if count > limits.lines or shared == float("inf"):
                    break
            cost = so_far + shared + _EMPTY * max(0.0, 1 - width / full) ** 2
            cost += limits.price_of_length(piece.end - begin)
            whole = whole_before
            if last + 1 < size:
                room = spoken[last + 1].start - begin - limits.gap_ms
                cost += penalties[last] * _BREAK + limits.price_of_haste(width, room)
                whole = whole and penalties[last] == SENTENCE
            if width <= _ORPHAN_COLUMNS and not whole:
                cost += _ORPHAN
            if cost < best[last + 1]:
                best[last + 1], came[last + 1] = cost, first
    ranges = []
    end = size
    while end:
        ranges.append((came[end], end))
        end = came[end]
    return ranges[::-1]


def _inside(spoken: Sequence[Piece], penalties: Sequence[float]) -> list[float]:
    """What it costs that a cue goes on after each piece."""
    found = []
    for n, price in enumerate(penalties):
        left, right = spoken[n], spoken[n + 1]
        pause = right.start - left.end
        if pause >= _ALWAYS_APART_MS:
            found.append(float("inf"))
            continue
        cost = max(0, pause - _PAUSE_MS) * _PAUSE_PER_S / 1000
        if price == SENTENCE:
            cost += _TWO_SENTENCES
            if right.begins_segment or (ends_sentence(left.text) and "?" in left.text):
                cost += _TWO_SPEAKERS
        found.append(cost)
    return found


def _times(
    groups: Sequence[Sequence[Piece]], limits: _Limits, recording_ms: int
) -> list[tuple[int, int]]:
    """When each group is seen, in milliseconds."""
    starts: list[int] = []
    for group in groups:
        spoken = group[0].start
        earliest = starts[-1] + limits.shortest_ms + limits.gap_ms if starts else 0
        starts.append(min(max(spoken, earliest), spoken + _DELAY_MS))
    found = []
    for n, (start, group) in enumerate(zip(starts, groups, strict=True)):
        spoken_until = group[-1].end
        if n + 1 < len(groups):
            room = starts[n + 1] - start
            limit = start + max(room - limits.gap_ms, ceil(room / 2))
        else:
            limit = max(recording_ms, spoken_until, start + limits.shortest_ms)
        limit = min(limit, start + limits.longest_ms)
        end = min(max(spoken_until, start + limits.reading_ms(width_of(group))), limit)
        if n + 1 < len(groups) and starts[n + 1] - end < _JOINED_MS:
            end = limit
        found.append((start, max(end, start + 1)))
    return found
