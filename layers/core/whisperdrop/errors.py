"""Every error that crosses a boundary, in one tree.

    WhisperdropError                    500 internal_error
    ├── RequestError                    400 bad_request     the caller must change the request
    │   ├── UnsupportedMediaTypeError   400 unsupported_media_type (by name or content type)
    │   ├── MissingKeyError             401 missing_api_key
    │   ├── WrongKeyError               403 invalid_api_key
    │   ├── ForbiddenError              403 forbidden       a valid key that may not do this
    │   ├── NotFoundError               404 not_found
    │   │   ├── JobNotFoundError        404 job_not_found
    │   │   └── ModelNotFoundError      404 model_not_found
    │   ├── ConflictError               409 conflict
    │   │   ├── NotReadyError           409 not_ready
    │   │   ├── IdempotencyError        409 idempotency_conflict (one key, two requests)
    │   │   └── UploadIncompleteError   409 upload_incomplete
    │   ├── TooLargeError               413 too_large
    │   ├── TooManyRequestsError        429 rate_limit_exceeded
    │   └── InvalidValueError           422 invalid_value
    │       └── WebhookRefusedError     422 webhook_refused a URL that we send nothing to
    ├── JobError                        500 job_failed      kept in the outcome of its job
    │   ├── MediaError                  415 undecodable_media
    │   │   ├── EmptyMediaError         415 empty_media
    │   │   ├── NoAudioError            415 no_audio_stream
    │   │   └── DecoderCrashedError     415 decoder_crashed
    │   ├── AudioTooLongError           413 audio_too_long
    │   ├── MediaTooLargeError          413 media_too_large
    │   ├── MediaMissingError           410 media_missing
    │   ├── UploadExpiredError          410 upload_expired
    │   ├── CancelledError              410 cancelled
    │   ├── ModelUnavailableError       503 model_unavailable
    │   └── GaveUpError                 500 gave_up
    ├── TryAgainError                   503 try_again       the same request may succeed later
    └── StoreError                      503 store_error
        ├── LostRaceError               503 lost_race       somebody else wrote first: read again
        └── UnsafeStoreError            503 unsafe_store    it breaks the promises we build on

A class carries its HTTP status and its stable code; the message is for the person who can act on
it and is shown as it stands, so it never holds a path, a traceback or a secret. The doors (the
native API, the OpenAI API, the command line) render the tree, each in one place.
"""

from typing import ClassVar, Self


class WhisperdropError(Exception):
    """Root of the tree."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(WhisperdropError):
    """The caller has to change the request."""

    status = 400
    code = "bad_request"


class UnsupportedMediaTypeError(RequestError):
    """The name or the content type says that this is no audio we read."""

    code = "unsupported_media_type"


class MissingKeyError(RequestError):
    """No ``Authorization: Bearer`` header."""

    status = 401
    code = "missing_api_key"


class WrongKeyError(RequestError):
    """A key that nobody was given, or that was revoked."""

    status = 403
    code = "invalid_api_key"


class ForbiddenError(RequestError):
    """A valid key that may not do this."""

    status = 403
    code = "forbidden"


class NotFoundError(RequestError):
    """Nothing there, or nothing that this tenant may see."""

    status = 404
    code = "not_found"


class JobNotFoundError(NotFoundError):
    """No such job for this tenant."""

    code = "job_not_found"


class ModelNotFoundError(NotFoundError):
    """A model that is not served, or not to this key."""

    code = "model_not_found"


class ConflictError(RequestError):
    """The resource is not in a state that allows this."""

    status = 409
    code = "conflict"


class NotReadyError(ConflictError):
    """The job has no result yet."""

    code = "not_ready"


class IdempotencyError(ConflictError):
    """The key was used before, with another request."""

    code = "idempotency_conflict"


class UploadIncompleteError(ConflictError):
    """Parts of the upload are missing, or are not what was announced."""

    code = "upload_incomplete"


class TooLargeError(RequestError):
    """The body is over the limit of the route."""

    status = 413
    code = "too_large"


class TooManyRequestsError(RequestError):
    """This caller has as many requests at work as he may; the same one may succeed later."""

    status = 429
    code = "rate_limit_exceeded"


class InvalidValueError(RequestError):
    """A field is well formed but its value is not allowed; ``param`` names it where one is."""

    status = 422
    code = "invalid_value"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class WebhookRefusedError(InvalidValueError):
    """A webhook's URL that is malformed, or that leads where we send nothing."""

    code = "webhook_refused"


class JobError(WhisperdropError):
    """A job ended without a transcript, for a reason that its outcome records."""

    code = "job_failed"


class MediaError(JobError):
    """The media cannot be decoded."""

    status = 415
    code = "undecodable_media"


class EmptyMediaError(MediaError):
    """A file of no bytes, or audio of no samples."""

    code = "empty_media"


class NoAudioError(MediaError):
    """A readable container without an audio stream."""

    code = "no_audio_stream"


class DecoderCrashedError(MediaError):
    """The decoding process died or ran into its memory or time limit."""

    code = "decoder_crashed"


class AudioTooLongError(JobError):
    """More audio than the worker accepts for one job."""

    status = 413
    code = "audio_too_long"


class MediaTooLargeError(JobError):
    """More bytes than the worker accepts for one job."""

    status = 413
    code = "media_too_large"

    @classmethod
    def over(cls, size: int, limit: int) -> Self:
        """For a file of ``size`` bytes where ``limit`` are allowed."""
        return cls(f"the file has {size:,} bytes; at most {limit:,} are accepted")


class MediaMissingError(JobError):
    """The media was deleted before it could be read."""

    status = 410
    code = "media_missing"


class UploadExpiredError(JobError):
    """The upload never came."""

    status = 410
    code = "upload_expired"


class CancelledError(JobError):
    """Its owner asked for its end."""

    status = 410
    code = "cancelled"


class ModelUnavailableError(JobError):
    """The model cannot be had on the worker."""

    status = 503
    code = "model_unavailable"


class GaveUpError(JobError):
    """Every attempt failed or died."""

    code = "gave_up"


class TryAgainError(WhisperdropError):
    """Nothing is wrong with the request; the same one may succeed later."""

    status = 503
    code = "try_again"


class StoreError(WhisperdropError):
    """The object store or the queue failed after its retries."""

    status = 503
    code = "store_error"


class LostRaceError(StoreError):
    """A conditional write lost: somebody else wrote first. Read again."""

    code = "lost_race"


class UnsafeStoreError(StoreError):
    """The store accepts a conditional write that it must refuse."""

    code = "unsafe_store"


def _walk(cls: type[WhisperdropError]) -> list[type[WhisperdropError]]:
    return [cls, *(leaf for child in cls.__subclasses__() for leaf in _walk(child))]


def status_of(code: str) -> int:
    """HTTP status of a stable ``code``; 500 for a code that a newer version may have written."""
    return next((cls.status for cls in _walk(WhisperdropError) if cls.code == code), 500)
