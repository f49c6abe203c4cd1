"""What a tenant has used in a month, summed from a listing: it stands in the keys."""

from dataclasses import dataclass

from whisperdrop.domain import keys
from whisperdrop.ports import ObjectStore


@dataclass(frozen=True)
class UsageOfMonth:
    """Jobs that succeeded in ``month`` (``yyyy-mm``, UTC), and their audio in milliseconds."""

    month: str
    jobs: int
    audio_ms: int


def usage_of(store: ObjectStore, tenant: str, month: str) -> UsageOfMonth:
    """Reads no record: one request to the store for each 1,000 jobs. Deleted jobs still count."""
    jobs = audio_ms = 0
    for info in store.list(keys.usage_of_month(tenant, month)):
        _, _, ms = info.key.removesuffix(".json").rpartition("-")
        if ms.isdecimal():
            jobs += 1
            audio_ms += int(ms)
    return UsageOfMonth(month, jobs, audio_ms)
