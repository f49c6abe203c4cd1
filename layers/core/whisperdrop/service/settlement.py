"""The end of a job: one outcome, then everything that follows from it, as often as it takes.

The order matters. The transcript is there before the outcome, because an outcome promises it. The
outcome is the decision; what comes after it is derived from it and can be repeated by whoever
finds the job next: rendering of a drop, usage record, removal of checkpoints, the note that
somebody is to be told, and last the pending marker, so that the sweep comes back until all of it is
done.
"""

from whisperdrop.domain import formats, keys
from whisperdrop.domain.job import JobStatus, Outcome
from whisperdrop.domain.transcript import Transcript
from whisperdrop.ports import ObjectStore
from whisperdrop.service import notifications
from whisperdrop.service.documents import dump, read, write_once
from whisperdrop.service.parts import delete_parts
from whisperdrop.service.retention import expire_at, retained_until

DROP_FORMATS: tuple[formats.Format, ...] = ("json", "srt", "txt", "vtt")
"""What a bucket drop is rendered to."""


def settle(store: ObjectStore, outcome: Outcome, transcript: Transcript | None = None) -> Outcome:
    """Record ``outcome`` unless the job has one, and what follows; returns the one that counts."""
    if transcript is not None:
        write_once(store, keys.transcript(outcome.ref), transcript)
    decided = write_once(store, keys.outcome(outcome.ref), outcome)
    follow_up(store, decided)
    return decided


def follow_up(store: ObjectStore, outcome: Outcome) -> None:
    """Everything that follows from an outcome; safe to repeat."""
    ref = outcome.ref
    if outcome.deleted_at is not None:
        # Somebody was late: a worker with its result, or an upload. The sweep removes what came.
        store.put(keys.deleting(ref), b"")
        store.delete(keys.pending(ref))
        return
    if outcome.drop_key is not None:
        _render_drop(store, outcome, outcome.drop_key)
    if outcome.usage is not None:
        audio_ms = round(outcome.usage.audio_s * 1000)
        write_once(store, keys.usage(ref, outcome.finished_at, audio_ms), outcome.usage)
    # Who ends a job in another way than by its transcript need not know of earlier attempts.
    if outcome.parts or outcome.status is not JobStatus.SUCCEEDED:
        delete_parts(store, ref)
    notifications.mark(store, outcome)
    if (until := retained_until(outcome)) is not None:
        expire_at(store, ref, until)
    store.delete(keys.pending(ref))


def _render_drop(store: ObjectStore, outcome: Outcome, drop_key: str) -> None:
    if outcome.status is not JobStatus.SUCCEEDED:
        body = dump(outcome)
        store.put(keys.outbox(drop_key, "error.json"), body, "application/json")
        return
    transcript = read(store, Transcript, keys.transcript(outcome.ref))
    if transcript is None:  # written before the outcome, so somebody has deleted it since
        return
    for name in DROP_FORMATS:
        rendering = formats.render(transcript, name)
        store.put(keys.outbox(drop_key, name), rendering.body, rendering.content_type)
