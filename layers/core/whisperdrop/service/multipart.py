"""Uploads in parts: signed one by one, sent in any order and as often as it takes, then joined.

The store knows which parts have arrived, so a sender that was interrupted asks and goes on, from
another machine if need be. The object appears when the upload is completed, all at once, and its
event starts the job as that of any other upload does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobRequest
from whisperdrop.domain.upload import part_count, size_of_part
from whisperdrop.errors import (
    ConflictError,
    InvalidValueError,
    JobNotFoundError,
    UploadIncompleteError,
)
from whisperdrop.ports import Clock, ObjectStore, PresignedUpload, Presigner, UploadedPart
from whisperdrop.service.cancellation import cancel
from whisperdrop.service.documents import read
from whisperdrop.service.viewing import outcome_of

_NAMED = 10  # missing parts in a message


@dataclass(frozen=True)
class SignedPart:
    """A part to be sent: which, how many bytes, and how."""

    number: int
    size: int
    upload: PresignedUpload


@dataclass(frozen=True)
class UploadState:
    """How far an upload in parts is; ``size`` and ``part_size`` in bytes."""

    size: int
    part_size: int
    parts: int
    uploaded: tuple[UploadedPart, ...]
    expires_at: datetime


@dataclass(frozen=True)
class _Multipart:
    """A job that was made for an upload in parts; bytes."""

    request: JobRequest
    ended: bool
    upload_id: str
    size: int
    part_size: int

    @property
    def parts(self) -> int:
        return part_count(self.size, self.part_size)


class MultipartUploads:
    """The uploads of jobs that were made for one."""

    def __init__(
        self, store: ObjectStore, presigner: Presigner, *, clock: Clock, part_expires_s: int
    ) -> None:
        self._store = store
        self._presigner = presigner
        self._clock = clock
        self._part_expires_s = part_expires_s

    def sign(self, ref: JobRef, numbers: Sequence[int]) -> tuple[list[SignedPart], datetime]:
        """How to send the parts of these numbers, and until when they may be begun.

        Raises JobNotFoundError, ConflictError when the upload is over, InvalidValueError.
        """
        found = self._open(ref)
        if wrong := [number for number in numbers if not 1 <= number <= found.parts]:
            raise InvalidValueError(
                f"numbers: this upload has parts 1 to {found.parts}, no {wrong[0]}"
            )
        expires_at = self._clock() + timedelta(seconds=self._part_expires_s)
        return [self._signed(found, number) for number in numbers], expires_at

    def _signed(self, found: _Multipart, number: int) -> SignedPart:
        size = size_of_part(number, found.size, found.part_size)
        upload = self._presigner.presign_part(
            found.request.media_key,
            upload_id=found.upload_id,
            number=number,
            size=size,
            expires_s=self._part_expires_s,
        )
        return SignedPart(number, size, upload)

    def state(self, ref: JobRef) -> UploadState:
        """Which parts have arrived; all of them once the upload is complete.

        Raises JobNotFoundError, ConflictError when it was given up.
        """
        found = self._find(ref)
        uploaded = self._store.list_multipart(found.request.media_key, found.upload_id)
        if uploaded is None:
            if self._store.head(found.request.media_key) is None:
                raise _over(ref)
            uploaded = tuple(
                UploadedPart(n, size_of_part(n, found.size, found.part_size), "")
                for n in range(1, found.parts + 1)
            )
        expires_at = found.request.upload_expires_at or self._clock()
        return UploadState(found.size, found.part_size, found.parts, uploaded, expires_at)

    def complete(self, ref: JobRef) -> None:
        """Join the parts; safe to repeat.

        Raises JobNotFoundError, ConflictError, UploadIncompleteError.
        """
        found = self._find(ref)
        key = found.request.media_key
        if found.ended or self._store.head(key) is not None:
            return
        uploaded = self._store.list_multipart(key, found.upload_id)
        if uploaded is not None:
            _demand_all(found, uploaded)
            if self._store.complete_multipart(key, found.upload_id, uploaded):
                return
        if self._store.head(key) is None:  # nobody else has completed it just now either
            raise _over(ref)

    def abort(self, ref: JobRef) -> None:
        """Give the upload up and cancel its job; safe to repeat. Raises as ``state`` does."""
        found = self._open(ref)
        cancel(self._store, ref, self._clock)
        self._store.abort_multipart(found.request.media_key, found.upload_id)

    def _open(self, ref: JobRef) -> _Multipart:
        """One that can still be completed. Raises JobNotFoundError, ConflictError."""
        found = self._find(ref)
        if found.ended or self._store.head(found.request.media_key) is not None:
            raise _over(ref)
        return found

    def _find(self, ref: JobRef) -> _Multipart:
        ended = outcome_of(self._store, ref) is not None
        request = read(self._store, JobRequest, keys.request(ref))
        if request is None:
            raise JobNotFoundError(f"there is no job {ref.job_id}")
        if request.upload_id is None or request.size is None or request.part_size is None:
            raise ConflictError(f"job {ref.job_id} takes its upload in one piece, not in parts")
        return _Multipart(request, ended, request.upload_id, request.size, request.part_size)


def drop_upload(store: ObjectStore, request: JobRequest) -> None:
    """Free what the store keeps of an upload in parts that nobody will complete."""
    if request.upload_id is not None:
        store.abort_multipart(request.media_key, request.upload_id)


def _demand_all(found: _Multipart, uploaded: Sequence[UploadedPart]) -> None:
    sizes = {part.number: part.size for part in uploaded}
    wrong = [
        number
        for number in range(1, found.parts + 1)
        if sizes.pop(number, None) != size_of_part(number, found.size, found.part_size)
    ]
    wrong += sizes
    if wrong:
        named = ", ".join(str(number) for number in wrong[:_NAMED])
        more = " and others" if len(wrong) > _NAMED else ""
        raise UploadIncompleteError(
            f"{len(wrong)} of {found.parts} parts have not arrived whole: {named}{more}; "
            "send them, then complete the upload again"
        )


def _over(ref: JobRef) -> ConflictError:
    return ConflictError(
        f"the upload of job {ref.job_id} is over; GET /v1/jobs/{ref.job_id} says how the job is"
    )
