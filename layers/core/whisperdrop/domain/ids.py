"""Identities: job ids that sort newest first, tenant names, and the reference that joins them."""

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_TIME_DIGITS = 9  # 36**9 ms reaches the year 5188
_RANDOM_DIGITS = 16  # 82 bits: unguessable
_LATEST_MS = 36**_TIME_DIGITS - 1

JOB_ID = re.compile(rf"[0-9a-z]{{{_TIME_DIGITS + _RANDOM_DIGITS}}}")
TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
CORRELATION_ID = re.compile(r"[A-Za-z0-9._:=-]{1,128}")
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, order=True)
class JobRef:
    """A job of a tenant; the only way code here names a job."""

    tenant: str
    job_id: str

    def __post_init__(self) -> None:
        if not is_tenant(self.tenant):
            raise ValueError(f"not a tenant: {self.tenant!r}")
        if not is_job_id(self.job_id):
            raise ValueError(f"not a job id: {self.job_id!r}")


def is_tenant(value: str) -> bool:
    """Whether ``value`` may stand in a key as a tenant."""
    return TENANT.fullmatch(value) is not None


def is_job_id(value: str) -> bool:
    """Whether ``value`` has the form of a job id."""
    return JOB_ID.fullmatch(value) is not None


def is_correlation_id(value: str) -> bool:
    """Whether ``value`` may follow a request through headers, metadata and logs."""
    return CORRELATION_ID.fullmatch(value) is not None


def is_traceparent(value: str) -> bool:
    """Whether ``value`` names a span of a trace (W3C Trace Context, version 00)."""
    return TRACEPARENT.fullmatch(value) is not None


def new_job_id(now: datetime, randomness: Callable[[int], int] = secrets.randbelow) -> str:
    """A fresh id: inverted milliseconds, so that plain listings come newest first, then chance."""
    return _inverted_time(now) + _base36(randomness(36**_RANDOM_DIGITS), _RANDOM_DIGITS)


def job_id_of_drop(bucket: str, key: str, etag: str, modified: datetime) -> str:
    """The id of a job that a bucket drop makes: the same object version always gives the same id.

    Duplicate events and the sweep therefore agree on it without talking to each other. Stores
    report the modification time with or without fractions of a second, so they are cut.
    """
    second = modified.replace(microsecond=0)
    seen = "\n".join((bucket, key, etag.strip('"'), second.isoformat()))
    number = int.from_bytes(hashlib.sha256(seen.encode()).digest())
    return _inverted_time(second) + _base36(number % 36**_RANDOM_DIGITS, _RANDOM_DIGITS)


def is_of_second(job_id: str, moment: datetime) -> bool:
    """Whether ``job_id`` is that of a bucket drop of the same second as ``moment``."""
    return job_id.startswith(_inverted_time(moment.replace(microsecond=0)))


def _inverted_time(moment: datetime) -> str:
    return _base36(_LATEST_MS - int(moment.timestamp() * 1000), _TIME_DIGITS)


def _base36(number: int, digits: int) -> str:
    out = []
    for _ in range(digits):
        number, digit = divmod(number, 36)
        out.append(_ALPHABET[digit])
    return "".join(reversed(out))
