"""``queues``, ``dead`` and ``redrive``: what waits, what was received too often, back with it."""

import argparse
from functools import partial

from whisperdrop.domain.events import Work, parse_event
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.keys import Drop
from whisperdrop.domain.notices import parse_notice
from whisperdrop.errors import JobNotFoundError
from whisperdrop.service.clock import utc_now
from whisperdrop.service.dead_letters import DeadLetter, Parser, look, redrive
from whisperdrop.service.inspection import inspect, what_next
from whisperdrop_dispatcher.admin_output import QUEUES, Answer, QueueName, Site, Verbs, add, table

_MOST = 100


def add_queues(verbs: Verbs) -> None:
    """``queues``, ``dead``, ``redrive``."""
    add(verbs, "queues", queues, help="how many messages wait, are worked on, are dead")
    dead_parser = add(verbs, "dead", dead, help="show dead letters, and the jobs that they name")
    redrive_parser = add(verbs, "redrive", redrive_letters, help="send dead letters back")
    for parser in (dead_parser, redrive_parser):
        parser.add_argument("queue", choices=QUEUES)
        parser.add_argument("--limit", type=int, default=_MOST, help="at most so many; default 100")


def queues(site: Site, options: argparse.Namespace) -> Answer:  # noqa: ARG001
    """Count the messages of every queue."""
    depths = {name: site.meter(name).depth() for name in site.urls}
    rows: list[tuple[str, ...]] = [("queue", "waiting", "in flight", "dead")]
    for name, depth in depths.items():
        dead_ones = "?" if depth.dead is None else str(depth.dead)
        rows.append((name, str(depth.visible), str(depth.in_flight), dead_ones))
    data = {
        str(name): {"waiting": depth.visible, "in_flight": depth.in_flight, "dead": depth.dead}
        for name, depth in depths.items()
    }
    return Answer(table(rows), data)


def dead(site: Site, options: argparse.Namespace) -> Answer:
    """Show dead letters; they stay where they are."""
    name: QueueName = options.queue
    letters = look(site.dead(name), _parser(site, name), most=options.limit)
    described = [_describe(site, letter) for letter in letters]
    lines = [
        f"{len(letters)} dead letters of the {name} queue",
        *(f"  {one['what']}: {one['says']}" for one in described),
    ]
    return Answer(lines, {"queue": name, "letters": described})


def redrive_letters(site: Site, options: argparse.Namespace) -> Answer:
    """Send dead letters back to their queue; those of jobs that have ended are deleted."""
    name: QueueName = options.queue
    done = redrive(
        site.dead(name), site.queue(name), site.store, _parser(site, name), most=options.limit
    )
    lines = [
        f"{done.moved} sent back, {done.ended} deleted since their jobs have ended, "
        f"{done.malformed} left since they are of no known kind",
        *(f"  {ref.tenant}/{ref.job_id}" for ref in done.jobs),
    ]
    return Answer(
        lines,
        {
            "queue": name,
            "moved": done.moved,
            "ended": done.ended,
            "malformed": done.malformed,
            "jobs": [f"{ref.tenant}/{ref.job_id}" for ref in done.jobs],
        },
    )


def _parser(site: Site, name: QueueName) -> Parser:
    bucket = site.settings.bucket
    if name == "notify":
        return partial(_notices, bucket=bucket)
    return partial(parse_event, bucket=bucket)


def _notices(text: str, *, bucket: str) -> list[Work]:
    """A notice is about a job's end, so that the job has ended is no reason to drop it."""
    refs = parse_notice(text, bucket=bucket)
    return [Drop(ref.tenant, f"{ref.tenant}/{ref.job_id}") for ref in refs]


def _describe(site: Site, letter: DeadLetter) -> dict[str, str]:
    if letter.malformed:
        body = letter.message.body
        return {"what": "no known kind", "says": body if len(body) <= 200 else f"{body[:200]}..."}
    if not letter.work:
        return {"what": "nothing of this bucket", "says": "a test event, or another bucket's"}
    [first, *others] = letter.work
    more = f" and {len(others)} more" if others else ""
    if isinstance(first, Drop):
        return {"what": f"{first.key}{more}", "says": "sent back, it is looked at again"}
    ref = letter.jobs[0]
    return {"what": f"{ref.tenant}/{ref.job_id}{more}", "says": _says(site, ref)}


def _says(site: Site, ref: JobRef) -> str:
    try:
        found = inspect(site.store, ref)
    except JobNotFoundError:
        return "there is no such job any more"
    now = utc_now()
    why = found.lease.last_error if found.lease else None
    last = f"; last: {why}" if why else ""
    return f"{found.status(now)}; {what_next(found, now, site.policy)}{last}"
