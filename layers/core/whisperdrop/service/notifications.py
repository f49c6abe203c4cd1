"""Who is to be told of a job's end: wanted, put off, asked for again. The telling is elsewhere.

A marker under ``notifications/`` begins with the time before which there is nothing to do; so a
listing alone says what is due. ``notification.json`` of the job says how far it is, and whoever
changes it does so by compare and swap. The marker of the next time is written before the document
that names it, and the marker of the time before is deleted last: a crash leaves a marker too many,
which the sweep removes, and never one too few.
"""

import secrets
from collections.abc import Iterator
from datetime import datetime

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import Outcome
from whisperdrop.domain.notices import notice
from whisperdrop.domain.webhook import Delivery, Notification, NotificationState, Webhook
from whisperdrop.errors import ConflictError, LostRaceError
from whisperdrop.ports import Clock, JobQueue, ObjectStore
from whisperdrop.service.documents import (
    DamagedDocumentError,
    dump,
    read,
    read_intact,
    read_with_etag,
)

QUEUE_REACH_S = 900
"""How far ahead the queue can keep a message (SQS: 15 minutes); what is later, the sweep sends."""

_RACES = 5


def wanted_at(store: ObjectStore, outcome: Outcome) -> str | None:
    """The URL at which somebody wants to be told of this end, or None."""
    if outcome.webhook_url is not None:
        return outcome.webhook_url
    webhook = read_intact(store, Webhook, keys.webhook(outcome.tenant))
    return webhook.url if webhook else None


def mark(store: ObjectStore, outcome: Outcome) -> None:
    """See that the end is told, where anybody wants to know; safe to repeat."""
    if wanted_at(store, outcome) is not None:
        put_marker(store, outcome.ref, outcome.finished_at)


def put_marker(store: ObjectStore, ref: JobRef, due: datetime) -> None:
    """Note that there is something to do for ``ref`` at ``due``."""
    store.put(keys.notification_due(ref, due), b"", "text/plain")


def hint(queue: JobQueue, ref: JobRef, wait_s: float) -> None:
    """Wake a notifier for ``ref`` in ``wait_s`` seconds, where a queue can wait so long."""
    if wait_s <= QUEUE_REACH_S:
        queue.send(notice(ref), delay_s=max(0, int(wait_s) + (wait_s > int(wait_s))))


class Held:
    """The document of one notification as this process last saw it; swaps it for the next one."""

    def __init__(
        self, store: ObjectStore, ref: JobRef, document: Notification, etag: str | None
    ) -> None:
        self._store = store
        self._key = keys.notification(ref)
        self._etag = etag
        self.ref = ref
        self.document = document

    def swap(self, document: Notification) -> None:
        """Write ``document`` if nothing has changed since. Raises LostRaceError."""
        document = document.model_copy(update={"rev": secrets.token_hex(8)})
        try:
            if self._etag is None:
                self._etag = self._store.create(self._key, dump(document))
            else:
                self._etag = self._store.replace(self._key, dump(document), self._etag)
        except LostRaceError:
            # The store may have taken our write and lost the answer, and our retry lost to it.
            found = _read(self._store, self._key)
            if found is None or found[0] is None or found[0].rev != document.rev:
                raise
            self._etag = found[1]
        self.document = document


def look(store: ObjectStore, outcome: Outcome) -> Held:
    """How far the telling of this end is; a beginning, due at the end itself, where nothing is.

    A document that is damaged counts as a beginning: to tell twice is better than never.
    """
    beginning = Notification(next_at=outcome.finished_at)
    found = _read(store, keys.notification(outcome.ref))
    if found is None:
        return Held(store, outcome.ref, beginning, None)
    return Held(store, outcome.ref, found[0] or beginning, found[1])


class Notifications:
    """What owners of jobs may see and ask for."""

    def __init__(self, store: ObjectStore, queue: JobQueue | None, *, clock: Clock) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock

    def deliveries(self, ref: JobRef) -> Iterator[Delivery]:
        """Every attempt to tell of the job's end, in order."""
        for info in self._store.list(keys.deliveries(ref)):
            if (found := read_intact(self._store, Delivery, info.key)) is not None:
                yield found

    def progress(self, ref: JobRef) -> Notification | None:
        """How far the telling is; None where nothing was begun."""
        return read_intact(self._store, Notification, keys.notification(ref))

    def redeliver(self, outcome: Outcome) -> None:
        """Tell of this end again from the first attempt on, whatever came of it before.

        One that is being delivered at this moment is left alone. Raises ConflictError where nobody
        wants to be told.
        """
        if wanted_at(self._store, outcome) is None:
            raise ConflictError(
                "this job has no webhook: set the tenant's with PUT /v1/webhook, or give the job "
                "its own (webhook_url) when you create it"
            )
        for _ in range(_RACES):
            held = look(self._store, outcome)
            now = self._clock()
            if held.document.waiting and held.document.held(now):
                return
            before = held.document
            again = before.model_copy(
                update={
                    "state": NotificationState.WAITING,
                    "tries": 0,
                    "next_at": now,
                    "owner": None,
                    "lease_expires_at": None,
                }
            )
            put_marker(self._store, outcome.ref, now)
            try:
                held.swap(again)
            except LostRaceError:
                continue
            if self._queue is not None:
                hint(self._queue, outcome.ref, 0)
            if before.next_at != now:
                self._store.delete(keys.notification_due(outcome.ref, before.next_at))
            return
        raise LostRaceError("the notification is being changed by somebody else; try again")


def exists(store: ObjectStore, ref: JobRef) -> Outcome | None:
    """The end that a notification is about; None for a job that was deleted or goes on."""
    outcome = read(store, Outcome, keys.outcome(ref))
    return None if outcome is None or outcome.deleted_at is not None else outcome


def _read(store: ObjectStore, key: str) -> tuple[Notification | None, str] | None:
    """The document and its ETag; the document is None where it is damaged."""
    try:
        return read_with_etag(store, Notification, key)
    except DamagedDocumentError as damaged:
        return None, damaged.etag
