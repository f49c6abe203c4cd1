"""How much is measured, on what, and with which models."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.recordings import Collection, Recording
from bench.synthesis import joined

_QUICK_CLIPS = 4
_LONG_S = 600.0
_QUICK_LONG_S = 60.0
_VARIED_S = 60.0


@dataclass(frozen=True)
class Plan:
    """What every section is given."""

    models: tuple[str, ...]
    collection: Collection
    rounds: int = 3
    quick: bool = False

    def amount(self, full: int, quick: int) -> int:
        """``full``, or ``quick`` in a quick run."""
        return quick if self.quick else full

    def clips(self) -> list[Recording]:
        """The clips of the comparisons."""
        return self.collection.clips()[: _QUICK_CLIPS if self.quick else None]

    def long_files(self) -> list[Recording]:
        """The collection's long recordings of up to a quarter of an hour, or one that is made."""
        if self.quick:
            return [self.long(_QUICK_LONG_S)]
        tagged = self.collection.tagged("long")
        return [one for one in tagged if one.duration_s < 1.5 * _LONG_S] or [self.long(_LONG_S)]

    def long(self, seconds: float) -> Recording:
        """A recording of ``seconds``, of the collection's long ones where it has some.

        Not one sentence over and over, which Whisper takes for a failure and decodes again: what
        has few clips gives all that it has, other languages included.
        """
        tagged = [] if self.quick else self.collection.tagged("long")
        clips = self.collection.clips()
        if sum(one.duration_s for one in clips) < _VARIED_S:
            clips = list(self.collection.recordings)
        return joined(tagged or clips, seconds)


def english_only(model: str) -> bool:
    """Whether the model knows no other language, as its name says."""
    return model.endswith(".en")


def understood(recordings: Sequence[Recording], model: str) -> list[Recording]:
    """Those that are in a language of ``model``."""
    return [one for one in recordings if not english_only(model) or one.language in {None, "en"}]
