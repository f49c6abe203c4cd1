"""``check``: is anything of what everything needs out of order?"""

import argparse
import functools
import secrets
from collections.abc import Callable
from datetime import timedelta

from whisperdrop.errors import WhisperdropError
from whisperdrop.ports import ObjectStore
from whisperdrop.service.clock import utc_now
from whisperdrop.service.fleet import Fleet
from whisperdrop.service.proof import prove_conditional_writes
from whisperdrop_dispatcher.admin_output import Answer, QueueName, Site, Verbs, add

_MOST_SKEW = timedelta(seconds=10)
"""Clocks must agree to well within LEASE_SECONDS; signatures bear five minutes."""


def add_check(verbs: Verbs) -> None:
    """``check``."""
    add(verbs, "check", check, help="storage, clock, queues and workers: what is out of order")


def check(site: Site, options: argparse.Namespace) -> Answer:  # noqa: ARG001
    """Look at storage, clock, queues and workers; exit status 1 if anything is out of order."""
    store = site.store
    looks: list[tuple[str, Callable[[], str]]] = [
        ("conditional writes", lambda: _conditional(store)),
        ("clock", lambda: _clock(store)),
        *((f"{name} queue", functools.partial(_queue, site, name)) for name in site.urls),
        ("workers", lambda: _workers(store)),
    ]
    found: dict[str, dict[str, object]] = {}
    for name, look in looks:
        try:
            found[name] = {"well": True, "says": look()}
        except WhisperdropError as error:
            found[name] = {"well": False, "says": error.message}
    lines = [
        f"{'ok ' if result['well'] else 'BAD'} {name}: {result['says']}"
        for name, result in found.items()
    ]
    return Answer(lines, found, failed=not all(result["well"] for result in found.values()))


def _conditional(store: ObjectStore) -> str:
    prove_conditional_writes(store)
    return "a second create and a stale swap are refused"


def _clock(store: ObjectStore) -> str:
    """By the time that the store gives to what is written now; stores may cut off fractions."""
    key = f"proof/{secrets.token_hex(16)}"
    before = utc_now()
    store.put(key, b"")
    after = utc_now()
    try:
        info = store.head(key)
    finally:
        store.delete(key)
    if info is None:
        raise WhisperdropError("what was written a moment ago is not there")
    slow = max(timedelta(), info.modified - after)
    fast = max(timedelta(), before - info.modified - timedelta(seconds=1))
    if (skew := max(slow, fast)) > _MOST_SKEW:
        raise WhisperdropError(
            f"this machine's clock is {skew.total_seconds():.0f} s {'slow' if slow else 'fast'} "
            "against the store's: leases end too early or too late; start its time service"
        )
    return f"within {_MOST_SKEW.total_seconds():.0f} s of the store's"


def _queue(site: Site, name: QueueName) -> str:
    depth = site.meter(name).depth()
    if depth.dead:
        raise WhisperdropError(f"{depth.dead} dead letters; see `dead {name}`")
    return f"{depth.visible} waiting, {depth.in_flight} in flight"


def _workers(store: ObjectStore) -> str:
    workers = Fleet(store, clock=utc_now).workers()
    return f"{len(workers)} report themselves (Lambda workers do not)"
