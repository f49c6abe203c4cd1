"""Every error that the client raises, in one tree.

    WhisperdropError
    ├── UnreachableError          no answer: network, name, TLS, time-out of one request
    ├── WaitTimeoutError          `wait` or `transcribe` took longer than its own time-out
    ├── StorageError              the object store refused a presigned upload
    ├── SourceChangedError        the file changed while it was uploaded
    ├── StoppedError              an upload that was given up, because another part of it failed
    ├── JobFailedError            the job ended without a transcript: `.job`, `.code`
    └── ApiError                  the server said no: `.status`, `.code`, `.detail`
        ├── BadRequestError       400, 415 and whatever else below 500 has no class here
        ├── AuthenticationError   401, and 403 with the code invalid_api_key
        ├── ForbiddenError        403: a valid key that may not do this
        ├── NotFoundError         404
        ├── ConflictError         409
        │   ├── NotReadyError     not_ready: no transcript yet
        │   └── IdempotencyError  idempotency_conflict: the key came with another body
        ├── GoneError             410: deleted, expired, cancelled
        ├── TooLargeError         413
        ├── InvalidValueError     422
        ├── RateLimitError        429
        └── ServerError           5xx

`ApiError.code` is the server's stable name; new codes may come, the classes stay.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisperdrop_client.models import Job


class WhisperdropError(Exception):
    """Root of the tree; its text is for the person in front of the screen."""


class UnreachableError(WhisperdropError):
    """No answer came."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent
        """Whether the other side may have got the request."""


class WaitTimeoutError(WhisperdropError):
    """The job did not end in time; it goes on, and can be waited for again."""


class StorageError(WhisperdropError):
    """The object store refused an upload."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class SourceChangedError(WhisperdropError):
    """What was announced is not what was read."""


class StoppedError(WhisperdropError):
    """Another part of the same upload failed, or the program is leaving."""


class JobFailedError(WhisperdropError):
    """The job ended, and there is no transcript."""

    def __init__(self, job: "Job") -> None:
        self.job = job
        self.code = job.error.code if job.error else job.status
        super().__init__(job.error.message if job.error else f"the job was {job.status}")


class ApiError(WhisperdropError):
    """The server refused; ``retry_after`` in seconds where it said so."""

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class BadRequestError(ApiError):
    """The request has to change."""


class AuthenticationError(ApiError):
    """No key, or one that is not valid here."""


class ForbiddenError(ApiError):
    """A valid key that may not do this."""


class NotFoundError(ApiError):
    """Nothing there, or nothing that this key may see."""


class ConflictError(ApiError):
    """It is not in a state that allows this."""


class NotReadyError(ConflictError):
    """The job has no transcript yet."""


class IdempotencyError(ConflictError):
    """This Idempotency-Key was used for another request."""


class GoneError(ApiError):
    """It was there once."""


class TooLargeError(ApiError):
    """More bytes or more audio than the server takes."""


class InvalidValueError(ApiError):
    """A field has a value that is not allowed."""


class RateLimitError(ApiError):
    """Too many requests."""


class ServerError(ApiError):
    """The server's own trouble; the same request may succeed later."""


_BY_CODE: dict[str, type[ApiError]] = {
    "invalid_api_key": AuthenticationError,
    "not_ready": NotReadyError,
    "idempotency_conflict": IdempotencyError,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    413: TooLargeError,
    422: InvalidValueError,
    429: RateLimitError,
}


def api_error(status: int, headers: Mapping[str, str], content: bytes) -> ApiError:
    """The error that an answer stands for: native, in OpenAI's form, or of some gateway."""
    detail, code = _described(content)
    cls = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if cls is None:
        cls = ServerError if status >= 500 else BadRequestError
    return cls(
        detail or f"the server answered {status}",
        status=status,
        code=code or f"http_{status}",
        request_id=headers.get("x-request-id"),
        retry_after=retry_after(headers),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a ``Retry-After`` header; one that holds a date is passed over."""
    value = headers.get("retry-after", "").strip()
    return float(value) if value.isdecimal() else None


def _described(content: bytes) -> tuple[str, str]:
    try:
        body = json.loads(content)
    except ValueError:
        return "", ""
    if not isinstance(body, dict):
        return "", ""
    inner = body.get("error")
    if isinstance(inner, dict):
        return str(inner.get("message") or ""), str(inner.get("code") or "")
    detail = body.get("detail") or body.get("message") or ""
    return str(detail), str(body.get("code") or "")
