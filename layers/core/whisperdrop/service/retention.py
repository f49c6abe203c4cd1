"""What is to be deleted later has a marker under expiry/, named after the moment.

A listing has the markers in the order of time, so the sweep reads as far as the present and no
document to find out what is due.
"""

from datetime import datetime, timedelta

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import Outcome
from whisperdrop.ports import ObjectStore

_MINUTE = timedelta(minutes=1)


def retained_until(outcome: Outcome) -> datetime | None:
    """When a job that has ended goes by itself; None where it stays."""
    if outcome.retention_days is None:
        return None
    return outcome.finished_at + timedelta(days=outcome.retention_days)


def expire_at(store: ObjectStore, ref: JobRef, moment: datetime) -> None:
    """Note that something of the job goes at ``moment``, or up to a minute later."""
    whole = moment.replace(second=0, microsecond=0)
    due = whole if whole == moment else whole + _MINUTE
    store.put(keys.expiry(ref, due), b"")
