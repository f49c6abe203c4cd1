"""Which workers are alive, as they report themselves."""

from datetime import datetime, timedelta

from whisperdrop.domain import keys
from whisperdrop.domain.job import WorkerReport
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.documents import read_intact

REPORT_TTL = timedelta(seconds=60)
"""A worker that has not reported for so long is gone; three of its reports are missing then."""

_CACHE_TTL = timedelta(seconds=1)


class Fleet:
    """Reads the workers' reports; remembers them for a moment, since health is asked often."""

    def __init__(self, store: ObjectStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._cached: tuple[datetime, tuple[WorkerReport, ...]] | None = None

    def workers(self) -> tuple[WorkerReport, ...]:
        """Reports of living workers. Lambda workers do not report: they live by the event."""
        now = self._clock()
        if self._cached is None or now - self._cached[0] >= _CACHE_TTL:
            self._cached = (now, tuple(self._read(now)))
        return self._cached[1]

    def _read(self, now: datetime) -> list[WorkerReport]:
        reports = []
        for info in self._store.list(keys.WORKERS):
            if now - info.modified > REPORT_TTL:
                continue
            if report := read_intact(self._store, WorkerReport, info.key):
                reports.append(report)
        return reports
