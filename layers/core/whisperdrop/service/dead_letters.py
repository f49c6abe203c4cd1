"""Dead letters: messages that were received too often. What they are about, and back with them.

A message is a hint, so none of this can lose a job or do one twice: a letter is sent to its queue
before it is deleted here, and one about a job that has ended needs no answer any more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from whisperdrop.domain import keys
from whisperdrop.domain.events import MalformedEventError, SpanRef, Work
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import Outcome
from whisperdrop.ports import JobQueue, Message, ObjectStore
from whisperdrop.service.documents import read_intact

Parser = Callable[[str], list[Work]]
"""The work that a body names. Raises MalformedEventError."""

_HIDDEN_S = 60  # while they are looked at
_WAIT_S = 1  # a short poll may miss what is there


@dataclass(frozen=True)
class DeadLetter:
    """One message, and what it is about."""

    message: Message
    work: tuple[Work, ...] = ()
    malformed: bool = False
    """Of no kind that is known: it would only come back."""

    @property
    def jobs(self) -> tuple[JobRef, ...]:
        """The jobs that it names; a drop has none yet."""
        return tuple(_job_of(work) for work in self.work if not isinstance(work, keys.Drop))

    @property
    def sent_at(self) -> datetime | None:
        """When it was first queued."""
        return self.message.sent_at


@dataclass
class Redriven:
    """What became of the letters: counts."""

    moved: int = 0
    ended: int = 0
    """Deleted: every job that they name has ended."""
    malformed: int = 0
    """Left where they are."""
    jobs: list[JobRef] = field(default_factory=list)
    """Of those that were moved."""


def look(dead: JobQueue, parse: Parser, *, most: int) -> list[DeadLetter]:
    """At most ``most`` letters; they stay. Raises StoreError."""
    letters = list(_letters(dead, parse, most))
    for letter in letters:
        dead.extend(letter.message, 0)
    return letters


def redrive(
    dead: JobQueue, source: JobQueue, store: ObjectStore, parse: Parser, *, most: int
) -> Redriven:
    """Send at most ``most`` letters back to the queue that they came from. Raises StoreError."""
    done = Redriven()
    left = []
    for letter in _letters(dead, parse, most):
        if letter.malformed:
            done.malformed += 1
            left.append(letter)
            continue
        if letter.work and len(letter.jobs) == len(letter.work) and _ended(store, letter.jobs):
            done.ended += 1
        else:
            source.send(letter.message.body)
            done.moved += 1
            done.jobs += letter.jobs
        dead.delete(letter.message)
    for letter in left:
        dead.extend(letter.message, 0)
    return done


def _letters(dead: JobQueue, parse: Parser, most: int) -> Iterator[DeadLetter]:
    for _ in range(most):
        message = dead.receive(wait_s=_WAIT_S, visibility_s=_HIDDEN_S)
        if message is None:
            return
        try:
            yield DeadLetter(message, tuple(parse(message.body)))
        except MalformedEventError:
            yield DeadLetter(message, malformed=True)


def _ended(store: ObjectStore, jobs: tuple[JobRef, ...]) -> bool:
    return all(read_intact(store, Outcome, keys.outcome(ref)) is not None for ref in jobs)


def _job_of(work: JobRef | SpanRef) -> JobRef:
    return work.job if isinstance(work, SpanRef) else work
