"""Where everything lies in the bucket. No other module spells a key.

uploads/{tenant}/{job}/{name}             media from a client; the notification watches it
media/{tenant}/{job}/{name}               media that came through the API; nothing watches it
inbox/{tenant}/any/path.mp3               bucket drop, watched too
outbox/{tenant}/any/path.mp3.{json,txt}   what a drop is rendered to
jobs/{tenant}/{job}/request.json          write once
jobs/{tenant}/{job}/lease.json            compare and swap
jobs/{tenant}/{job}/cancel                write once; its owner wants no more of it
jobs/{tenant}/{job}/parts/{n}.json        write once; finished windows, n with leading zeros
jobs/{tenant}/{job}/plan.json             write once; how workers share a long recording
jobs/{tenant}/{job}/spans/{n}.json        compare and swap; who works on a span of the plan
jobs/{tenant}/{job}/outcome.json          write once
results/{tenant}/{job}/transcript.json    write once, before the outcome
pending/{tenant}/{job}                    marker from creation to outcome
usage/{tenant}/{yyyy-mm}/{job}-{ms}.json  write once; ms of audio, so a listing sums it
keys/{sha256 of key}.json                 hashed API keys
workers/{worker}.json                     what a running worker says of itself
"""

from dataclasses import dataclass
from datetime import datetime

from whisperdrop.domain.ids import JobRef, is_job_id, is_tenant

UPLOADS = "uploads/"
INBOX = "inbox/"
PENDING = "pending/"
WORKERS = "workers/"
API_KEYS = "keys/"

_MAX_KEY_BYTES = 1024  # of S3
_PART_DIGITS = 5  # 24 h of audio have less than 6,000 parts
MAX_PARTS = 10**_PART_DIGITS
"""Numbers of parts and spans are below this."""


def upload(ref: JobRef, name: str) -> str:
    """The media that a client uploads."""
    return f"{UPLOADS}{ref.tenant}/{ref.job_id}/{name}"


def media(ref: JobRef, name: str) -> str:
    """The media of a synchronous request: its job is sent directly, an event would be a second."""
    return f"media/{ref.tenant}/{ref.job_id}/{name}"


def outbox(drop_key: str, extension: str) -> str:
    """Rendering of a drop. The media's own extension stays: a.mp3 and a.wav must not collide."""
    return f"outbox/{drop_key.removeprefix(INBOX)}.{extension}"


def documents(ref: JobRef) -> str:
    """Prefix of all that says how far it is."""
    return f"jobs/{ref.tenant}/{ref.job_id}/"


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


def usage(ref: JobRef, finished_at: datetime, audio_ms: int) -> str:
    """Usage record; month and milliseconds stand in the key."""
    return f"usage/{ref.tenant}/{finished_at:%Y-%m}/{ref.job_id}-{audio_ms}.json"


def api_key(digest: str) -> str:
    """Document of an API key, by the SHA-256 of the key in hex."""
    return f"{API_KEYS}{digest}.json"


def worker(worker_id: str) -> str:
    """Status of one worker process."""
    return f"{WORKERS}{worker_id}.json"


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
