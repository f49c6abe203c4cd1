"""A tenant's jobs, newest first, a page at a time.

Ids sort newest first, so the folders under jobs/{tenant}/ are the list, and a page is one listing
and a look at each job on it, several side by side. Without a filter a page of n jobs costs 1 + n
requests to the store where all of them have ended, at most 1 + 6 n where none has. Jobs that a
filter hides, or that were deleted a short while ago, are looked at too, so a page ends after
``MOST_LOOKS`` looks, however few jobs it shows, and says where to go on.
"""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef, is_job_id
from whisperdrop.domain.job import JobStatus, JobView
from whisperdrop.errors import InvalidValueError, JobNotFoundError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.documents import DamagedDocumentError
from whisperdrop.service.viewing import view_of

MOST_LOOKS = 100
"""Jobs that are looked at for one page."""

_AT_ONCE = 16  # requests to the store


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are shown: all unless said otherwise."""

    statuses: Collection[JobStatus] = ()
    name_part: str = ""
    """A part of the file's name, in any case."""

    def shows(self, job: JobView) -> bool:
        """Whether ``job`` is one of them."""
        if self.statuses and job.status not in self.statuses:
            return False
        return self.name_part.casefold() in (job.name or "").casefold()


@dataclass(frozen=True)
class JobPage:
    """Some jobs, and where the next page begins; None after the last one."""

    jobs: tuple[JobView, ...]
    next_cursor: str | None


def list_jobs(
    store: ObjectStore,
    tenant: str,
    now: datetime,
    *,
    limit: int,
    cursor: str | None = None,
    wanted: JobFilter = JobFilter(),
) -> JobPage:
    """The page of at most ``limit`` jobs that begins at ``cursor``. Raises InvalidValueError."""
    if cursor is not None and not is_job_id(cursor):
        raise InvalidValueError("cursor: send the next_cursor of the page before, or none")
    folders = store.list_folders(keys.jobs_of(tenant), after=cursor or "", limit=MOST_LOOKS)
    shown: list[JobView] = []
    last = None
    with ThreadPoolExecutor(_AT_ONCE) as beside:
        for job_id, job in _looks(store, tenant, folders.names, now, limit, beside.map):
            last = job_id
            if job is not None and wanted.shows(job):
                shown.append(job)
                if len(shown) == limit:
                    break
    done = not folders.names or (last == folders.names[-1] and not folders.more)
    return JobPage(tuple(shown), None if done else last)


def _looks(
    store: ObjectStore,
    tenant: str,
    names: tuple[str, ...],
    now: datetime,
    at_once: int,
    apply: Callable[..., Iterator[JobView | None]],
) -> Iterator[tuple[str, JobView | None]]:
    """Each folder's job, or None where there is none to show; reads ``at_once`` ahead."""

    def look(name: str) -> JobView | None:
        if not is_job_id(name):
            return None
        try:
            return view_of(store, JobRef(tenant, name), now)
        except (JobNotFoundError, DamagedDocumentError):
            return None

    for first in range(0, len(names), at_once):
        some = names[first : first + at_once]
        yield from zip(some, apply(look, some), strict=True)
