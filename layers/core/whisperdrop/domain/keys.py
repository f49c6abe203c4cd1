"""Where everything lies in the bucket. No other module spells a key.

uploads/{tenant}/{job}/{name}             media from a client; the notification watches it
media/{tenant}/{job}/{name}               media that came through the API; nothing watches it
inbox/{tenant}/any/path.mp3               bucket drop, watched too
outbox/{tenant}/any/path.mp3.{json,txt,srt,vtt}   what a drop is rendered to
jobs/{tenant}/{job}/request.json          write once
jobs/{tenant}/{job}/lease.json            compare and swap
jobs/{tenant}/{job}/cancel                write once; its owner wants no more of it
jobs/{tenant}/{job}/parts/{n}.json        write once; finished windows, n with leading zeros
jobs/{tenant}/{job}/plan.json             write once; how workers share a long recording
jobs/{tenant}/{job}/spans/{n}.json        compare and swap; who works on a span of the plan
jobs/{tenant}/{job}/outcome.json          write once
results/{tenant}/{job}/transcript.json    write once, before the outcome
pending/{tenant}/{job}                    marker from creation to outcome
deleting/{tenant}/{job}                   marker from the wish to delete it until all is gone
expiry/{yyyy-mm-dd}/{hh-mm}/{tenant}/{job}  marker of what is to be deleted then
usage/{tenant}/{yyyy-mm}/{job}-{ms}.json  write once; ms of audio, so a listing sums it
idempotency/{tenant}/{hash}.json          compare and swap; the job of a content, or of a key
keys/{sha256 of key}.json                 hashed API keys
workers/{worker}.json                     what a running worker says of itself
fleet/state.json                          compare and swap; what was done to start workers
fleet/warm.json                           compare and swap; until when somebody wants a worker ready
webhooks/{tenant}.json                    where a tenant is told of the ends of its jobs
webhook-secrets/{tenant}.json             compare and swap; what its deliveries are signed with
notifications/{time}/{tenant}/{job}       marker: somebody is to be told, and not before that time
jobs/{tenant}/{job}/notification.json     compare and swap; how far the telling is
jobs/{tenant}/{job}/deliveries/{n}.json   write once; one attempt to tell, n with leading zeros
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from whisperdrop.domain.ids import JobRef, is_job_id, is_tenant

UPLOADS = "uploads/"
INBOX = "inbox/"
JOBS = "jobs/"
PENDING = "pending/"
DELETING = "deleting/"
EXPIRY = "expiry/"
WORKERS = "workers/"
API_KEYS = "keys/"
NOTIFICATIONS = "notifications/"
FLEET_STATE = "fleet/state.json"
FLEET_WARM = "fleet/warm.json"

_MAX_KEY_BYTES = 1024  # of S3
_DUE = "%Y%m%dT%H%M%S%fZ"
_EXPIRY_TIME = "%Y-%m-%d/%H-%M"
_PART_DIGITS = 5  # 24 h of audio have less than 6,000 parts
MAX_PARTS = 10**_PART_DIGITS
"""Numbers of parts and spans are below this."""


def upload(ref: JobRef, name: str) -> str:
    """The media that a client uploads."""
    return f"{UPLOADS}{ref.tenant}/{ref.job_id}/{name}"


def uploads_of(ref: JobRef) -> str:
    """Prefix of the one object that its client uploads."""
    return f"{UPLOADS}{ref.tenant}/{ref.job_id}/"


def media(ref: JobRef, name: str) -> str:
    """The media of a synchronous request: its job is sent directly, an event would be a second."""
    return f"media/{ref.tenant}/{ref.job_id}/{name}"


def outbox(drop_key: str, extension: str) -> str:
    """Rendering of a drop. The media's own extension stays: a.mp3 and a.wav must not collide."""
    return f"outbox/{drop_key.removeprefix(INBOX)}.{extension}"


def documents(ref: JobRef) -> str:
    """Prefix of all that says how far it is."""
    return f"jobs/{ref.tenant}/{ref.job_id}/"


def jobs_of(tenant: str) -> str:
    """Prefix of a tenant's jobs, the newest first; each is a folder."""
    return f"jobs/{tenant}/"


def bytes_of(ref: JobRef) -> tuple[str, ...]:
    """Prefixes of its media and its results."""
    place = f"{ref.tenant}/{ref.job_id}/"
    return f"{UPLOADS}{place}", f"media/{place}", f"results/{place}"


def belongings_of(tenant: str) -> tuple[str, ...]:
    """Prefixes and keys of what a tenant has beside its jobs' documents and its usage."""
    folders = (UPLOADS, "media/", "results/", INBOX, "outbox/", "idempotency/")
    return *(f"{folder}{tenant}/" for folder in folders), webhook(tenant), webhook_secrets(tenant)


def request(ref: JobRef) -> str:
    """What was asked for."""
    return f"jobs/{ref.tenant}/{ref.job_id}/request.json"


def lease(ref: JobRef) -> str:
    """Who is working on it."""
    return f"jobs/{ref.tenant}/{ref.job_id}/lease.json"


def cancel(ref: JobRef) -> str:
    """Marker that its owner asked for its end."""
    return f"jobs/{ref.tenant}/{ref.job_id}/cancel"


def parts(ref: JobRef) -> str:
    """Prefix of what is finished of it; a listing has it in order."""
    return f"jobs/{ref.tenant}/{ref.job_id}/parts/"


def part(ref: JobRef, n: int) -> str:
    """Its ``n``-th finished piece, from 0."""
    return f"{parts(ref)}{n:0{_PART_DIGITS}}.json"


def plan(ref: JobRef) -> str:
    """How workers share it."""
    return f"jobs/{ref.tenant}/{ref.job_id}/plan.json"


def spans(ref: JobRef) -> str:
    """Prefix of the leases of its spans."""
    return f"jobs/{ref.tenant}/{ref.job_id}/spans/"


def span(ref: JobRef, n: int) -> str:
    """Who is working on its ``n``-th span, from 0."""
    return f"{spans(ref)}{n:0{_PART_DIGITS}}.json"


def outcome(ref: JobRef) -> str:
    """How it ended."""
    return f"jobs/{ref.tenant}/{ref.job_id}/outcome.json"


def transcript(ref: JobRef) -> str:
    """The result."""
    return f"results/{ref.tenant}/{ref.job_id}/transcript.json"


def pending(ref: JobRef) -> str:
    """Marker that the job has no outcome yet."""
    return f"{PENDING}{ref.tenant}/{ref.job_id}"


def deleting(ref: JobRef) -> str:
    """Marker that its owner wants it deleted."""
    return f"{DELETING}{ref.tenant}/{ref.job_id}"


def expiry(ref: JobRef, due: datetime) -> str:
    """Marker that something of it goes when ``due`` has come; a listing has them in that order."""
    return f"{EXPIRY}{due.astimezone(UTC):{_EXPIRY_TIME}}/{ref.tenant}/{ref.job_id}"


def usage_of_month(tenant: str, month: str) -> str:
    """Prefix of the usage records of ``yyyy-mm``."""
    return f"usage/{tenant}/{month}/"


def usage(ref: JobRef, finished_at: datetime, audio_ms: int) -> str:
    """Usage record; month and milliseconds stand in the key."""
    return f"usage/{ref.tenant}/{finished_at:%Y-%m}/{ref.job_id}-{audio_ms}.json"


def idempotency(tenant: str, digest: str) -> str:
    """Which job counts for what was asked for, by a SHA-256 in hex."""
    return f"idempotency/{tenant}/{digest}.json"


def api_key(digest: str) -> str:
    """Document of an API key, by the SHA-256 of the key in hex."""
    return f"{API_KEYS}{digest}.json"


def worker(worker_id: str) -> str:
    """Status of one worker process."""
    return f"{WORKERS}{worker_id}.json"


def webhook(tenant: str) -> str:
    """Where the tenant is told of the ends of its jobs."""
    return f"webhooks/{tenant}.json"


def webhook_secrets(tenant: str) -> str:
    """What the tenant's deliveries are signed with; whoever ends jobs has no business here."""
    return f"webhook-secrets/{tenant}.json"


def notification(ref: JobRef) -> str:
    """How far the telling of its end is."""
    return f"jobs/{ref.tenant}/{ref.job_id}/notification.json"


def deliveries(ref: JobRef) -> str:
    """Prefix of the attempts to tell of its end; a listing has them in order."""
    return f"jobs/{ref.tenant}/{ref.job_id}/deliveries/"


def delivery(ref: JobRef, n: int) -> str:
    """The ``n``-th attempt, from 1."""
    return f"{deliveries(ref)}{n:0{_PART_DIGITS}}.json"


def notification_due(ref: JobRef, due: datetime) -> str:
    """Marker that somebody is to be told of its end at ``due``; a listing has the earliest first.

    The time stands in the key, so that a listing alone says what to do and where to stop.
    """
    return f"{NOTIFICATIONS}{due.astimezone(UTC):{_DUE}}/{ref.tenant}/{ref.job_id}"


@dataclass(frozen=True)
class Drop:
    """An object put under inbox/ without the API."""

    tenant: str
    key: str


def parse_media_key(key: str) -> JobRef | Drop | None:
    """What the arrival of ``key`` means: an upload, a drop, or nothing of ours."""
    parts = key.split("/")
    match parts:
        case ["uploads" | "media", tenant, job_id, name] if (
            is_tenant(tenant) and is_job_id(job_id) and name
        ):
            return JobRef(tenant, job_id)
        case ["inbox", tenant, *rest] if is_tenant(tenant) and rest and rest[-1]:
            # A key so long that not even an error could be written under outbox/ is passed over.
            room = len(outbox(key, "error.json").encode()) <= _MAX_KEY_BYTES
            return Drop(tenant, key) if room else None
        case _:
            return None


def parse_pending_key(key: str) -> JobRef | None:
    """The job that a pending marker stands for."""
    match key.split("/"):
        case ["pending", tenant, job_id] if is_tenant(tenant) and is_job_id(job_id):
            return JobRef(tenant, job_id)
        case _:
            return None


def parse_deleting_key(key: str) -> JobRef | None:
    """The job that is to be deleted."""
    match key.split("/"):
        case ["deleting", tenant, job_id] if is_tenant(tenant) and is_job_id(job_id):
            return JobRef(tenant, job_id)
        case _:
            return None


def parse_expiry_key(key: str) -> tuple[datetime, JobRef] | None:
    """When something of whose job is to be deleted."""
    match key.split("/"):
        case ["expiry", day, minute, tenant, job_id] if is_tenant(tenant) and is_job_id(job_id):
            try:
                due = datetime.strptime(f"{day}/{minute}", _EXPIRY_TIME).replace(tzinfo=UTC)
            except ValueError:
                return None
            return due, JobRef(tenant, job_id)
        case _:
            return None


def parse_outcome_key(key: str) -> JobRef | None:
    """The job whose outcome lies under ``key``."""
    match key.split("/"):
        case ["jobs", tenant, job_id, "outcome.json"] if is_tenant(tenant) and is_job_id(job_id):
            return JobRef(tenant, job_id)
        case _:
            return None


def parse_notification_key(key: str) -> tuple[datetime, JobRef] | None:
    """When whose end is to be told, from a marker's key."""
    match key.split("/"):
        case ["notifications", due, tenant, job_id] if is_tenant(tenant) and is_job_id(job_id):
            try:
                return datetime.strptime(due, _DUE).replace(tzinfo=UTC), JobRef(tenant, job_id)
            except ValueError:
                return None
        case _:
            return None
