"""Finished windows, in whatever order they come, become one transcript in order."""

from collections.abc import Iterable

from whisperdrop.domain.part import Part
from whisperdrop.domain.transcript import Segment
from whisperdrop_worker.engine.attempts import Finished


class Stitcher:
    """Puts windows in order, and parts them into checkpoints."""

    def __init__(self, saved: Iterable[Part] = ()) -> None:
        """``saved`` is what earlier attempts have finished, in order."""
        self._parts = list(saved)
        self._next = self._parts[-1].end_window if self._parts else 0
        self._early: dict[int, Finished] = {}
        self._unsaved: list[Finished] = []

    @property
    def next_window(self) -> int:
        """The first window that is not finished, or whose predecessors are not."""
        return self._next

    @property
    def chapter(self) -> tuple[int, int]:
        """The chapter to go on with after what was saved, and the window that it begins with."""
        if not self._parts:
            return 0, 0
        return self._parts[-1].chapter, self._parts[-1].chapter_window

    @property
    def done_s(self) -> float:
        """Seconds of the recording up to which everything is finished."""
        if self._unsaved:
            return self._unsaved[-1].end_s
        return self._parts[-1].end_s if self._parts else 0.0

    @property
    def finished_s(self) -> float:
        """Seconds of the recording that are finished, those after a gap too.

        A window that is asked for again and again holds back what is in order, not the work.
        """
        return self.done_s + sum(early.duration_s for early in self._early.values())

    @property
    def window_s(self) -> float:
        """Seconds of all windows in order."""
        saved = sum(part.window_s for part in self._parts)
        return saved + self.unsaved_s

    @property
    def unsaved_s(self) -> float:
        """Seconds of windows in order that are in no part yet."""
        return sum(done.duration_s for done in self._unsaved)

    def add(self, finished: Finished) -> None:
        """One more window; each comes once."""
        self._early[finished.index] = finished
        while (following := self._early.pop(self._next, None)) is not None:
            self._unsaved.append(following)
            self._next += 1

    def part(self, language: str, probability: float, chapter: tuple[int, int] = (0, 0)) -> Part:
        """What is finished in order and in no part yet, as the next one.

        ``chapter`` is that of its last window, and the window that this chapter begins with.
        """
        part = Part(
            n=len(self._parts),
            first_window=self._unsaved[0].index,
            end_window=self._next,
            chapter=chapter[0],
            chapter_window=chapter[1],
            end_s=round(self.done_s, 3),
            window_s=round(self.unsaved_s, 3),
            language=language,
            language_probability=probability,
            segments=_numbered(
                segment for finished in self._unsaved for segment in finished.segments
            ),
        )
        self._parts.append(part)
        self._unsaved.clear()
        return part

    def segments(self) -> tuple[Segment, ...]:
        """All segments in order, numbered from 0."""
        saved = (segment for part in self._parts for segment in part.segments)
        new = (segment for finished in self._unsaved for segment in finished.segments)
        return _numbered([*saved, *new])


def _numbered(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    return tuple(
        segment.model_copy(update={"id": number}) for number, segment in enumerate(segments)
    )
