"""Where the lines of a cue are broken."""

from collections.abc import Sequence
from itertools import pairwise

from whisperdrop.domain.formats.pieces import Piece

_RAGGED = 16.0
"""What a line costs that is as much too long or too short as the lines are long."""
_FIRST_SHORTER = 0.95
"""Two lines stand best as a pyramid: the lower one hides more of the picture than the upper."""


def lines_needed(pieces: Sequence[Piece], widest: int) -> int:
    """The fewest lines of ``widest`` columns that hold ``pieces``."""
    count, width = 0, widest
    for piece in pieces:
        added = width + piece.space + piece.columns
        if count and added <= widest:
            width = added
        else:
            count, width = count + 1, piece.columns
    return count


def layout(pieces: Sequence[Piece], penalties: Sequence[float], widest: int) -> tuple[str, ...]:
    """``pieces`` on the fewest lines of ``widest`` columns, broken where it reads best.

    ``penalties`` has the price of a break after each piece. A piece that is wider than a line has
    one of its own.
    """
    count = lines_needed(pieces, widest)
    if count <= 1:
        return (text_of(pieces),) if pieces else ()
    usual = width_of(pieces) / count
    size = len(pieces)
    # best[n] is the cheapest way to put the first n pieces on the lines so far.
    best: list[tuple[float, tuple[int, ...]] | None] = [None] * (size + 1)
    best[0] = (0.0, ())
    for line in range(count):
        wanted = usual * (_FIRST_SHORTER if line < count - 1 else 1.0)
        longer: list[tuple[float, tuple[int, ...]] | None] = [None] * (size + 1)
        for first, so_far in enumerate(best):
            if so_far is None or first == size:
                continue
            width = -int(pieces[first].space)
            for end in range(first + 1, size + 1):
                width += pieces[end - 1].space + pieces[end - 1].columns
                if width > widest and end > first + 1:
                    break
                cost = so_far[0] + _RAGGED * ((width - wanted) / usual) ** 2
                cost += penalties[end - 1] if end < size else 0.0
                known = longer[end]
                if known is None or cost < known[0]:
                    longer[end] = (cost, (*so_far[1], end))
        best = longer
    found = best[size]
    edges = (0, *(found[1] if found else (size,)))
    return tuple(text_of(pieces[a:b]) for a, b in pairwise(edges))


def width_of(pieces: Sequence[Piece]) -> int:
    """Columns of ``pieces`` on one line."""
    return sum(piece.columns + piece.space for piece in pieces) - bool(pieces and pieces[0].space)


def text_of(pieces: Sequence[Piece]) -> str:
    """``pieces`` on one line."""
    return "".join(f" {p.text}" if n and p.space else p.text for n, p in enumerate(pieces))
