"""Tells of a job's end: one attempt at a time for each job, each written down, none lost.

A notifier claims the job's notification by compare and swap, sends, writes the attempt to the log,
and then says what follows: delivered, given up, or when to try again. Should it die in between, its
claim runs out and the next one begins; the log then says whether the target had taken it.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import Outcome
from whisperdrop.domain.webhook import (
    Delivery,
    Notification,
    NotificationState,
    SigningSecrets,
    event_of,
    webhook_id,
)
from whisperdrop.domain.webhook_schedule import RetrySchedule
from whisperdrop.errors import LostRaceError
from whisperdrop.ports import Clock, JobQueue, ObjectStore
from whisperdrop.service.courier import Courier, Sent
from whisperdrop.service.documents import read, read_intact, write_once
from whisperdrop.service.notifications import Held, exists, hint, look, put_marker, wanted_at

_CHANCE = secrets.SystemRandom().random
_UNSIGNED = "there is no secret to sign with: PUT /v1/webhook makes one"


CORRELATION_HEADER = "x-correlation-id"

Around = Callable[[Outcome], AbstractContextManager[Mapping[str, str]]]
"""Entered around each attempt; what it gives is added to the request's headers."""


@contextmanager
def correlated(outcome: Outcome) -> Iterator[Mapping[str, str]]:
    """The headers that lead a receiver back to the request that made the job."""
    said = outcome.correlation_id
    yield {} if said is None else {CORRELATION_HEADER: said}


class BeingDeliveredError(Exception):
    """Another notifier is at it, until ``expires_at`` at the latest."""

    def __init__(self, expires_at: datetime) -> None:
        super().__init__(f"being delivered until {expires_at.isoformat()}")
        self.expires_at = expires_at


class Gate(Protocol):
    """Shares a process's deliveries among tenants and hosts."""

    def enter(self, tenant: str, host: str) -> float | None:
        """Take room for one delivery; None when it is there, else seconds to stay away."""
        ...

    def leave(self, tenant: str, host: str, seconds: float) -> None:
        """Give the room back after ``seconds``."""
        ...


@dataclass(frozen=True)
class DeliveryPolicy:
    """How long a claim lasts, well above the courier's time-out, and when to try again."""

    lease_s: float
    schedule: RetrySchedule


class Notifier:
    """Safe to share among threads."""

    def __init__(
        self,
        store: ObjectStore,
        queue: JobQueue,
        courier: Courier,
        gate: Gate,
        *,
        policy: DeliveryPolicy,
        owner: str,
        clock: Clock,
        chance: Callable[[], float] = _CHANCE,
        around: Around = correlated,
    ) -> None:
        self._store = store
        self._queue = queue
        self._courier = courier
        self._gate = gate
        self._policy = policy
        self._owner = owner
        self._clock = clock
        self._chance = chance
        self._around = around

    def notify(self, ref: JobRef) -> Delivery | None:
        """Tell of the end of ``ref`` if that is due; the attempt, or None where there was none.

        Whatever has to follow is arranged when it returns: the message that led here is done with.
        Raises BeingDeliveredError while another notifier is at it, and StoreError.
        """
        outcome = exists(self._store, ref)
        if outcome is None:
            return None
        url = wanted_at(self._store, outcome)
        held = look(self._store, outcome)
        before = held.document
        if not before.waiting:
            self._unmark(ref, before.next_at)
            return None
        now = self._clock()
        if before.held(now) and before.lease_expires_at is not None:
            raise BeingDeliveredError(before.lease_expires_at)
        if before.next_at > now:
            hint(self._queue, ref, (before.next_at - now).total_seconds())
            return None
        if url is None:
            self._unwanted(held)
            return None
        host = self._courier.host_of(url)
        stay_away_s = self._gate.enter(ref.tenant, host)
        if stay_away_s is not None:
            put_marker(self._store, ref, before.next_at)  # it is in the queue: the sweep need not
            hint(self._queue, ref, stay_away_s)
            return None
        seconds = 0.0
        try:
            with self._around(outcome) as headers:
                sent = self._attempt(outcome, url, held, now, headers)
            seconds = sent.ms / 1000
            return sent
        finally:
            self._gate.leave(ref.tenant, host, seconds)

    def _attempt(
        self, outcome: Outcome, url: str, held: Held, now: datetime, headers: Mapping[str, str]
    ) -> Delivery:
        """Claim, send, write down, conclude."""
        before = held.document
        until = now + timedelta(seconds=self._policy.lease_s)
        if before.owner is not None and (taken := self._taken(held)):
            # Whoever held it before died after the target had taken it.
            self._conclude(held, taken, Sent(taken.ms, taken.status))
            return taken
        claim = {"attempts": before.attempts + 1, "owner": self._owner, "lease_expires_at": until}
        try:
            held.swap(before.model_copy(update=claim))
        except LostRaceError as error:
            raise BeingDeliveredError(until) from error
        sent = self._send(outcome, url, until, headers)
        delivery = Delivery(
            id=webhook_id(outcome.ref),
            attempt=held.document.attempts,
            at=now,
            url=url,
            status=sent.status,
            error=sent.error,
            ms=sent.ms,
            delivered=sent.delivered,
            correlation_id=outcome.correlation_id,
        )
        write_once(self._store, keys.delivery(outcome.ref, delivery.attempt), delivery)
        self._conclude(held, delivery, sent)
        return delivery

    def _taken(self, held: Held) -> Delivery | None:
        """The last attempt that began, if its log says that the target took it."""
        key = keys.delivery(held.ref, held.document.attempts)
        found = read_intact(self._store, Delivery, key)
        return found if found is not None and found.delivered else None

    def _send(
        self, outcome: Outcome, url: str, until: datetime, headers: Mapping[str, str]
    ) -> Sent:
        found = read(self._store, SigningSecrets, keys.webhook_secrets(outcome.tenant))
        if found is None:
            return Sent(0, error=_UNSIGNED)
        body = json.dumps(event_of(outcome), ensure_ascii=False).encode()
        now = self._clock()
        if now + timedelta(seconds=self._courier.timeout_s) > until:
            # A slow store has used the claim up: with the next one there is only one of us.
            raise BeingDeliveredError(until)
        return self._courier.send(url, webhook_id(outcome.ref), body, found.live(now), now, headers)

    def _conclude(self, held: Held, delivery: Delivery, sent: Sent) -> None:
        """Say what follows from an attempt. A claim that was lost since then is somebody else's."""
        before = held.document
        now = self._clock()
        next_at = None
        if delivery.delivered:
            state = NotificationState.DELIVERED
        elif sent.unwanted:
            state = NotificationState.STOPPED
        else:
            next_at = self._policy.schedule.next_at(
                before.tries + 1, now, retry_after_s=sent.retry_after_s, chance=self._chance()
            )
            state = NotificationState.GAVE_UP if next_at is None else NotificationState.WAITING
        after = before.model_copy(
            update={
                "state": state,
                "tries": before.tries + (not delivery.delivered),
                "next_at": next_at or before.next_at,
                "owner": None,
                "lease_expires_at": None,
            }
        )
        if next_at is not None:
            put_marker(self._store, held.ref, next_at)
        try:
            held.swap(after)
        except LostRaceError:
            return
        if next_at is not None:
            hint(self._queue, held.ref, (next_at - now).total_seconds())
        self._unmark(held.ref, before.next_at)

    def _unwanted(self, held: Held) -> None:
        """Its tenant has taken the webhook away since; where there never was one, nothing is."""
        before: Notification = held.document
        if before.rev:
            try:
                held.swap(before.model_copy(update={"state": NotificationState.STOPPED}))
            except LostRaceError:
                return
        self._unmark(held.ref, before.next_at)

    def _unmark(self, ref: JobRef, due: datetime) -> None:
        self._store.delete(keys.notification_due(ref, due))
