"""What is finished of a job that goes on: read in order, and removed when it has ended."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.part import Part
from whisperdrop.ports import ObjectStore
from whisperdrop.service.documents import read_intact

_AT_ONCE = 8  # requests; a recording of hours leaves thousands of parts


def read_parts(store: ObjectStore, ref: JobRef, after: Part | None = None) -> list[Part]:
    """The parts that follow ``after`` without a gap, in order; ends before a damaged one.

    Whoever reads a job again and again passes the last part that it has.
    """
    found: list[Part] = []
    with ThreadPoolExecutor(_AT_ONCE) as beside:
        first = after.n + 1 if after else 0
        while True:
            # The first one alone: most often there is none, or just one more.
            count = _AT_ONCE if found else 1
            numbers = range(first, first + count)
            for part in beside.map(lambda n: read_intact(store, Part, keys.part(ref, n)), numbers):
                if part is None or not part.follows(after):
                    return found
                found.append(part)
                after = part
            first += count


def delete_parts(store: ObjectStore, ref: JobRef) -> None:
    """Remove all that only mattered while the job went on; safe to repeat."""
    ours = (keys.parts(ref), keys.spans(ref), keys.plan(ref))
    stored = (info.key for info in store.list(keys.documents(ref)))
    delete_all(store, (key for key in stored if key.startswith(ours)))


def delete_all(store: ObjectStore, some: Iterator[str]) -> None:
    """Remove the objects under ``some`` keys, several at a time."""
    found = list(some)
    if found:
        with ThreadPoolExecutor(_AT_ONCE) as beside:
            list(beside.map(store.delete, found))
