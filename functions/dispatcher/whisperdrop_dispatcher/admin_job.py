"""``job``, ``requeue``, ``cancel`` and ``delete``: one job, and what to do with it."""

import argparse
from typing import Any

from whisperdrop.domain.ids import JobRef
from whisperdrop.service.cancellation import cancel
from whisperdrop.service.clock import utc_now
from whisperdrop.service.deletion import delete
from whisperdrop.service.inspection import Inspection, inspect, what_next
from whisperdrop.service.mending import requeue
from whisperdrop_dispatcher.admin_output import Answer, Site, Verbs, add, job_ref


def add_job(verbs: Verbs) -> None:
    """``job``, ``requeue``, ``cancel``, ``delete``."""
    for name, action, text in (
        ("job", show, "everything about a job, and what will happen next"),
        ("requeue", requeue_job, "send a job's message again, now"),
        ("cancel", cancel_job, "end a job, as its owner could"),
        ("delete", delete_job, "delete a job and all that it left"),
    ):
        parser = add(verbs, name, action, help=text)
        parser.add_argument("job", type=job_ref, metavar="TENANT/ID")


def show(site: Site, options: argparse.Namespace) -> Answer:
    """Show every document of a job, and say what will happen next if nobody does anything."""
    found = inspect(site.store, options.job)
    now = utc_now()
    next_step = what_next(found, now, site.policy)
    data = _data(found) | {"status": found.status(now), "next": next_step}
    lines = [
        f"{found.ref.tenant}/{found.ref.job_id}: {found.status(now)}",
        *(f"  {name:<13} {text}" for name, text in _facts(found)),
        f"  {'next':<13} {next_step}",
    ]
    return Answer(lines, data)


def requeue_job(site: Site, options: argparse.Namespace) -> Answer:
    """Send a job's message again; harmless where a worker holds it already."""
    ref: JobRef = options.job
    requeue(site.store, site.queue("interactive"), site.queue("bulk"), ref)
    return _done(ref, "queued again")


def cancel_job(site: Site, options: argparse.Namespace) -> Answer:
    """End a job; one that a worker holds ends in a moment."""
    ref: JobRef = options.job
    outcome = cancel(site.store, ref, utc_now)
    return _done(ref, f"it is {outcome.status}" if outcome else "its worker has been told")


def delete_job(site: Site, options: argparse.Namespace) -> Answer:
    """Delete a job: media, transcript, documents. Its usage record stays."""
    ref: JobRef = options.job
    gone = delete(site.store, ref, utc_now)
    return _done(ref, "deleted" if gone else "a worker holds it; the sweep deletes it afterwards")


def _done(ref: JobRef, what: str) -> Answer:
    name = f"{ref.tenant}/{ref.job_id}"
    return Answer([f"{name}: {what}"], {"job": name, "done": what})


def _facts(found: Inspection) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if (request := found.request) is not None:
        facts += [
            ("file", f"{request.name} ({request.source}), {request.size or '?'} bytes"),
            ("model", f"{request.model}, {request.options.model_dump_json(exclude_none=True)}"),
            ("created", f"{request.created_at:%Y-%m-%d %H:%M:%S %Z}"),
        ]
        if request.correlation_id:
            facts.append(("correlation", request.correlation_id))
        media = f"{found.media.size} bytes" if found.media else "NOT THERE"
        facts.append(("media", f"{request.media_key}: {media}"))
    if (lease := found.lease) is not None:
        facts.append(
            (
                "lease",
                f"{lease.owner}, attempt {lease.attempt}, {lease.failures} failed, until "
                f"{lease.expires_at:%Y-%m-%d %H:%M:%S %Z}{', handed back' * lease.released}",
            )
        )
        done = f"{lease.progress.done_s:.0f} of {lease.progress.total_s or 0:.0f} s"
        facts.append(("progress", f"{lease.progress.stage}, {done} of audio"))
        if lease.last_error:
            facts.append(("last error", lease.last_error))
    if found.checkpoints:
        facts.append(("checkpoints", str(found.checkpoints)))
    if found.pending is not None:
        queued = f"{found.pending.modified:%Y-%m-%d %H:%M:%S %Z}"
        facts.append(("queued", f"{queued}, {found.requeues} times again"))
    if found.cancel_requested:
        facts.append(("cancel", "asked for"))
    if (outcome := found.outcome) is not None:
        facts.append(("ended", f"{outcome.finished_at:%Y-%m-%d %H:%M:%S %Z}"))
        if outcome.error:
            facts.append(("error", f"{outcome.error.code}: {outcome.error.message}"))
    if found.notification is not None:
        told = found.notification
        facts.append(("webhook", f"{told.state}, {told.attempts} attempts"))
    if found.deliveries:
        last = found.deliveries[-1]
        facts.append(("last attempt", f"{last.url}: {last.status or last.error}"))
    facts += [("DAMAGED", key) for key in found.damaged]
    return facts


def _data(found: Inspection) -> dict[str, Any]:
    documents = {
        name: None if document is None else document.model_dump(mode="json", exclude_none=True)
        for name, document in (
            ("request", found.request),
            ("lease", found.lease),
            ("outcome", found.outcome),
            ("notification", found.notification),
        )
    }
    return documents | {
        "job": f"{found.ref.tenant}/{found.ref.job_id}",
        "media_bytes": found.media.size if found.media else None,
        "pending_since": found.pending.modified.isoformat() if found.pending else None,
        "requeues": found.requeues,
        "checkpoints": found.checkpoints,
        "cancel_requested": found.cancel_requested,
        "deliveries": [one.model_dump(mode="json") for one in found.deliveries],
        "damaged": found.damaged,
    }
