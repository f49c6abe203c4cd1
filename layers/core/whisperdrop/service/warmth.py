"""A worker that is kept ready although nothing waits: for whoever knows that work is coming."""

import secrets
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict

from whisperdrop.domain import keys
from whisperdrop.errors import LostRaceError, TryAgainError
from whisperdrop.ports import Clock, ObjectStore
from whisperdrop.service.documents import (
    DamagedDocumentError,
    dump,
    read_intact,
    read_with_etag,
)

MAX_WARM_S = 3600
"""As much as can be asked for at a time: what is forgotten costs no more than that."""

_TRIES = 5


class Warmth(BaseModel):
    """``fleet/warm.json``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    until: AwareDatetime
    rev: str


def warm_until(store: ObjectStore, now: datetime) -> datetime | None:
    """Until when a worker is to be ready; None when nobody wants one any more."""
    found = read_intact(store, Warmth, keys.FLEET_WARM)
    return found.until if found and found.until > now else None


def keep_warm(store: ObjectStore, seconds: int, clock: Clock) -> datetime:
    """Have a worker ready for so long from now, or as long as somebody else has asked for.

    Raises TryAgainError.
    """
    until = clock() + timedelta(seconds=seconds)
    for _ in range(_TRIES):
        wanted = Warmth(until=until, rev=secrets.token_hex(8))
        try:
            found = read_with_etag(store, Warmth, keys.FLEET_WARM)
            if found is not None and found[0].until >= until:
                return found[0].until
            etag = found[1] if found else None
        except DamagedDocumentError as damaged:
            etag = damaged.etag
        try:
            if etag is None:
                store.create(keys.FLEET_WARM, dump(wanted))
            else:
                store.replace(keys.FLEET_WARM, dump(wanted), etag)
        except LostRaceError:
            continue  # read again: it may be long enough already
        return until
    raise TryAgainError("many ask for the same just now; send it again")
