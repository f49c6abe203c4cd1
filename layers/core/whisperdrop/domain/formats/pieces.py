"""The words of a transcript, and when each of them is spoken.

The text is the segments' text, always; words of the engine only say when. Times are milliseconds
and whole, and no piece begins before its predecessor has had time to be spoken, whatever the
transcript says: recordings that were cut and joined have had segments of no length, and segments
that went back.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from whisperdrop.domain.formats.scripts import columns, shards, units, words
from whisperdrop.domain.transcript import Segment, Transcript

_FASTEST = 60
"""Columns a second: nobody speaks so fast, so times that say so are wrong."""
_USUAL = 15
"""Columns a second of the text whose own times say nothing."""
_SHORTEST_MS = 20
_LATEST_S = 9_999 * 3600.0
"""Hours have four digits in VTT at most, as its parsers read them."""
_PAUSES = {",": 3, ";": 3, ":": 3, "、": 3, "，": 3} | dict.fromkeys(".!?。！？", 6)
"""How many columns the silence after a punctuation mark lasts, where no words tell."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What no line break divides. ``start`` and ``end`` in milliseconds."""

    text: str
    columns: int
    start: int
    end: int
    space: bool
    """There is a space before it."""
    begins_segment: bool
    within_word: bool
    """The engine's words and the script say that it is not the first of a word."""


@dataclass(frozen=True, slots=True)
class _Timeline:
    """When the characters of a segment, spaces not counted, are spoken."""

    offsets: Sequence[float]
    """Where each word begins; the last is where the text ends."""
    spans: Sequence[tuple[float, float]]
    beginnings: frozenset[float] = frozenset()
    """The offsets, where words have exactly the text."""

    def at(self, offset: float, *, ends: bool) -> float:
        """When the character at ``offset`` begins, or when the one before it ``ends``."""
        n = bisect_right(self.offsets, offset - 1e-6 if ends else offset + 1e-6) - 1
        n = min(max(n, 0), len(self.spans) - 1)
        first, last = self.offsets[n], self.offsets[n + 1]
        start, end = self.spans[n]
        share = (offset - first) / (last - first) if last > first else float(ends)
        return start + (end - start) * min(max(share, 0.0), 1.0)


def pieces(transcript: Transcript, language: str, widest: int) -> list[Piece]:
    """The whole text in order; what could not stand in a line of ``widest`` columns is divided,
    if its script can be."""
    found: list[Piece] = []
    earliest = 0
    for segment, start, end, trusted in _placed(transcript.segments):
        texts = _texts(segment.text, language, widest)
        timeline = _timeline(segment, texts, start, end, trusted=trusted)
        offset = 0
        beginnings = timeline.beginnings
        for n, (text, space) in enumerate(texts):
            width = columns(text)
            within = not space and bool(beginnings) and offset not in beginnings
            begin = min(max(timeline.at(offset, ends=False), start), end)
            offset += len(text)
            finish = min(max(timeline.at(offset, ends=True), begin), end)
            begin_ms = max(round(begin * 1000), earliest)
            earliest = begin_ms + max(_SHORTEST_MS, width * 1000 // _FASTEST)
            end_ms = max(round(finish * 1000), earliest)
            found.append(Piece(text, width, begin_ms, end_ms, space or n == 0, n == 0, within))
    return found


def _texts(text: str, language: str, widest: int) -> list[tuple[str, bool]]:
    """Pieces of text, and whether a space is before them."""
    found = []
    for word in words(text.replace("\0", "\ufffd")):
        divided = [
            shard
            for unit in units(word, japanese=language == "ja")
            for shard in ([unit] if columns(unit) <= widest else shards(unit, widest))
        ]
        found += [(unit, n == 0) for n, unit in enumerate(divided)]
    return found


def _placed(segments: Sequence[Segment]) -> list[tuple[Segment, float, float, bool]]:
    """Segments with text, with times that do not go back; False where they had to be made up.

    Most of the times are right: those that would have to be given up are the fewest that leave an
    order.
    """
    spoken = [segment for segment in segments if words(segment.text)]
    starts = [min(max(segment.start, 0.0), _LATEST_S) for segment in spoken]
    kept = set(_longest_ascent(starts))
    limits = []
    limit = _LATEST_S
    for n in reversed(range(len(spoken))):
        limits.append(limit)
        limit = starts[n] if n in kept else limit
    placed = []
    latest = 0.0
    for n, (segment, limit) in enumerate(zip(spoken, reversed(limits), strict=True)):
        start = starts[n] if n in kept else min(latest, limit)
        given = segment.end if n in kept else start + columns(segment.text) / _USUAL
        latest = min(max(given, start), limit)
        placed.append((segment, start, latest, n in kept))
    return placed


def _longest_ascent(values: Sequence[float]) -> list[int]:
    """Indexes of a longest subsequence that never goes down (patience sorting)."""
    tops: list[float] = []
    at: list[int] = []
    before: list[int] = []
    for n, value in enumerate(values):
        place = bisect_right(tops, value)
        before.append(at[place - 1] if place else -1)
        tops[place : place + 1] = [value]
        at[place : place + 1] = [n]
    found = []
    n = at[-1] if at else -1
    while n >= 0:
        found.append(n)
        n = before[n]
    return found[::-1]


def _timeline(
    segment: Segment, texts: list[tuple[str, bool]], start: float, end: float, *, trusted: bool
) -> _Timeline:
    timed = [
        (len("".join(word.word.split())), word.start, max(word.start, word.end))
        for word in segment.words or ()
    ]
    timed = [word for word in timed if word[0]]
    total = sum(len(text) for text, _ in texts)
    if timed and trusted and all(a[1] <= b[1] for a, b in pairwise(timed)):
        # Words that are not quite the text tell the time by their share of it.
        scale = total / sum(length for length, _, _ in timed)
        offsets = [0.0]
        for length, _, _ in timed:
            offsets.append(offsets[-1] + length * scale)
        spans = [(begin, finish) for _, begin, finish in timed]
        return _Timeline(offsets, spans, frozenset(offsets if scale == 1 else ()))
    weights = [(columns(text) or 1, _PAUSES.get(text[-1], 0)) for text, _ in texts]
    weights[-1] = (weights[-1][0], 0)
    each = (end - start) / sum(spoken + pause for spoken, pause in weights)
    offsets, spans, now = [0.0], [], start
    for (text, _), (spoken, pause) in zip(texts, weights, strict=True):
        offsets.append(offsets[-1] + len(text))
        spans.append((now, now + spoken * each))
        now += (spoken + pause) * each
    return _Timeline(offsets, spans)
