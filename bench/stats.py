"""The few numbers that a row of a table is made of."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of ``values`` lie, interpolated between neighbours."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there is nothing to take a percentile of")
    place = (len(ordered) - 1) * percent / 100
    below, above = math.floor(place), math.ceil(place)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median over the rounds of one wall time divided by the other of the same round.

    Not the ratio of two medians: a round in which the whole machine was slow has slow numerators
    and slow denominators, and its ratio is as good as any other.
    """
    return statistics.median(
        one / other for one, other in zip(numerators, denominators, strict=True)
    )


def in_turns(entries: Sequence[T], rounds: int) -> Iterator[tuple[int, T]]:
    """(number of the round, entry): each round begins with another entry, so that none is always
    the one that finds the machine warm or tired."""
    for number in range(rounds):
        first = number % len(entries)
        for entry in (*entries[first:], *entries[:first]):
            yield number, entry
