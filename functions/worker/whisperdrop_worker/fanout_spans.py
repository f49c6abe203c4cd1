"""The spans of one planned job as one worker sees them: which are done, which are free."""

from concurrent.futures import ThreadPoolExecutor

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import Lease
from whisperdrop.domain.part import Part
from whisperdrop.errors import GaveUpError
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.documents import read_intact, write_once
from whisperdrop.service.leases import HeldLease, LeaseBusyError, acquire
from whisperdrop_worker.decode_protocol import SAMPLE_RATE
from whisperdrop_worker.engine import Stretch
from whisperdrop_worker.plan import Plan, Span

_AT_ONCE = 32  # requests


class Spans:
    """Claims are leases; what is done is a part. Not thread-safe."""

    def __init__(
        self,
        store: ObjectStore,
        ref: JobRef,
        plan: Plan,
        *,
        owner: str,
        lease_s: float,
        max_failures: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._owner = owner
        self._lease_s = lease_s
        self._max_failures = max_failures
        self._clock = clock
        self._numbers = {keys.part(ref, n): n for n in range(len(plan.ends))}
        self.ref = ref
        self.plan = plan
        self.done: frozenset[int] = frozenset()
        self.over = False
        """Whether the job has ended, or shall: what is done may be gone then. As of the last
        look."""
        self._claimed: dict[str, str] = {}  # ETags by the keys of leases
        self._leases: dict[str, tuple[str, Lease | None]] = {}  # by key: ETag and lease

    @property
    def missing(self) -> list[int]:
        """Spans that nobody has finished, as of the last look."""
        return [n for n in range(len(self.plan.ends)) if n not in self.done]

    @property
    def done_s(self) -> float:
        """Seconds of the recording in finished spans."""
        return sum(self.plan.length_s(n) for n in self.done)

    def look(self) -> None:
        """See what is done and what is claimed by now: one listing."""
        listed = {info.key: info.etag for info in self._store.list(keys.documents(self.ref))}
        self.over = keys.outcome(self.ref) in listed or keys.cancel(self.ref) in listed
        self.done = frozenset(n for key, n in self._numbers.items() if key in listed)
        claims = keys.spans(self.ref)
        self._claimed = {key: etag for key, etag in listed.items() if key.startswith(claims)}

    def claim(self, first: int = 0) -> tuple[Span, HeldLease] | None:
        """The next free span, of those from ``first`` on before others; None when none is.

        A span is free when nobody has claimed it or its worker has gone silent; those that nobody
        had claimed at the last look come first, because they cost no second one. Raises GaveUpError
        for one that has killed or failed as many workers as a job may.
        """
        missing = sorted(self.missing, key=lambda n: (n < first, n))
        for n in missing:
            if keys.span(self.ref, n) not in self._claimed and (found := self._try(n)):
                return found
        if not missing:
            return None
        busy = self._busy()
        for n in missing:
            if keys.span(self.ref, n) not in busy and (found := self._try(n)):
                return found
        return None

    def _try(self, n: int) -> tuple[Span, HeldLease] | None:
        try:
            return self.take(n)
        except LeaseBusyError:
            return None

    def _busy(self) -> frozenset[str]:
        """Keys of the leases that are live: one listing, and a look at those that have changed."""
        self._claimed = {info.key: info.etag for info in self._store.list(keys.spans(self.ref))}
        listed = self._claimed
        new = [key for key, etag in listed.items() if self._leases.get(key, ("",))[0] != etag]
        if new:
            with ThreadPoolExecutor(_AT_ONCE) as beside:
                leases = beside.map(lambda key: read_intact(self._store, Lease, key), new)
                for key, lease in zip(new, leases, strict=True):
                    self._leases[key] = (listed[key], lease)
        now = self._clock()
        return frozenset(
            key for key in listed if (lease := self._leases[key][1]) is not None and lease.live(now)
        )

    def take(self, n: int) -> tuple[Span, HeldLease] | None:
        """Claim the ``n``-th span; None when it turns out to be done.

        Raises LeaseBusyError, and GaveUpError as ``claim`` does.
        """
        held = acquire(
            self._store,
            self.ref,
            owner=self._owner,
            ttl_s=self._lease_s,
            clock=self._clock,
            key=keys.span(self.ref, n),
        )
        if held.attempt > 1 and self._store.head(keys.part(self.ref, n)) is not None:
            self.done |= {n}
            return None
        if held.lease.failures >= self._max_failures:
            reason = held.lease.last_error or "unknown"
            held.hand_back(reason)
            raise GaveUpError(
                f"gave up after {held.lease.failures} failed attempts at one part of the "
                f"recording; the last one ended: {reason}"
            )
        return self.plan.span(n), held

    def finish(self, span: Span, stretch: Stretch, samples: int | None) -> None:
        """Write what ``span`` became. Another worker's part for it is as good as ours.

        ``samples`` is the length of the recording, where one knows.
        """
        part = Part(
            n=span.n,
            first_window=span.first,
            end_window=span.end,
            end_s=round(span.end_s, 3),
            window_s=stretch.window_s,
            language=self.plan.language,
            language_probability=self.plan.language_probability,
            segments=stretch.segments,
            engine_s=round(stretch.engine_s, 3),
            duration=samples / SAMPLE_RATE if span.last and samples is not None else None,
        )
        write_once(self._store, keys.part(self.ref, span.n), part)
        self.done |= {span.n}

    def parts(self) -> list[Part] | None:
        """All parts in order; None when one has to be done again, which is missing from then on."""
        with ThreadPoolExecutor(_AT_ONCE) as beside:
            found = list(
                beside.map(lambda key: read_intact(self._store, Part, key), sorted(self._numbers))
            )
        good = [part for n, part in enumerate(found) if part and self.plan.holds(part, n)]
        if len(good) == len(found):
            return good
        for n, part in enumerate(found):
            if part is None or not self.plan.holds(part, n):
                self._store.delete(keys.part(self.ref, n))
                self.done -= {n}
        return None
