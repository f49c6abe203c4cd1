"""Sending media: by PUT, as a form, or by parts that are sent side by side and can be resumed."""

from whisperdrop_client import calls
from whisperdrop_client.bodies import Body, Meter, OnBytes, Source, form_body
from whisperdrop_client.errors import (
    ConflictError,
    SourceChangedError,
    StorageError,
    WhisperdropError,
)
from whisperdrop_client.flows import Flow, Request, Together
from whisperdrop_client.models import CreatedJob, SignedParts, Upload, UploadState

PARTS_AT_ONCE = 4
_EXPIRED = 403  # what a store says to an address whose time is over
_THERE = 412  # what it says when the bytes are there already


def send(
    created: CreatedJob,
    source: Source,
    *,
    on_bytes: OnBytes | None = None,
    at_once: int = PARTS_AT_ONCE,
) -> Flow[None]:
    """Send the media as ``created`` says; nothing to do when the server has it already."""
    upload = created.upload
    if upload is None:
        return
    meter = Meter(source.size, on_bytes)
    if upload.method == "MULTIPART":
        yield from _parts(created.job_id, source, meter, at_once)
    elif upload.method == "POST":
        yield from _form(upload, source, meter)
    else:
        yield from _put(upload, source, meter)


def resume(
    job_id: str,
    source: Source,
    *,
    on_bytes: OnBytes | None = None,
    at_once: int = PARTS_AT_ONCE,
) -> Flow[None]:
    """Go on with an upload by parts: only what the store lacks is sent."""
    yield from _parts(job_id, source, Meter(source.size, on_bytes), at_once)


def _put(upload: Upload, source: Source, meter: Meter) -> Flow[None]:
    body = Body(source, 0, source.size, meter)
    try:
        yield Request("PUT", upload.url or "", headers=upload.headers, body=body)
    except StorageError as error:
        # The address is signed for "nothing there yet" and exactly this size: an attempt whose
        # answer was lost has arrived.
        if error.status != _THERE:
            raise


def _form(upload: Upload, source: Source, meter: Meter) -> Flow[None]:
    body, headers = form_body(source, upload.fields, meter)
    yield Request("POST", upload.url or "", headers=upload.headers | headers, body=body)


def _parts(job_id: str, source: Source, meter: Meter, at_once: int) -> Flow[None]:
    counted = 0
    for last in (False, True):
        state: UploadState = yield from calls.upload_state(job_id)
        if state.size != source.size:
            raise SourceChangedError(
                f"{source.name} has {source.size:,} bytes; its upload was begun with {state.size:,}"
            )
        there = {part.number: part.size for part in state.uploaded}
        missing = [n for n in range(1, state.parts + 1) if there.get(n) != _size(state, n)]
        if not counted:
            counted = state.size - sum(_size(state, n) for n in missing)
            meter.add(counted)
        parts = (_part(job_id, source, state, number, meter) for number in missing)
        yield Together(parts, at_once, meter.stop)
        try:
            yield from calls.complete_upload(job_id)
        except ConflictError:
            if last:
                raise
        else:
            return


def _size(state: UploadState, number: int) -> int:
    return min(state.part_size, state.size - (number - 1) * state.part_size)


def _part(job_id: str, source: Source, state: UploadState, number: int, meter: Meter) -> Flow[None]:
    # An address for each part when it is its turn: none is old, however slow the line is.
    start = (number - 1) * state.part_size
    body = Body(source, start, _size(state, number), meter)
    for last in (False, True):
        signed: SignedParts = yield from calls.sign_parts(job_id, [number])
        if not signed.parts:
            raise WhisperdropError(f"the server signed no address for part {number}")
        part = signed.parts[0]
        try:
            yield Request("PUT", part.url, headers=part.headers, body=body)
        except StorageError as error:
            if last or error.status != _EXPIRED:
                raise
        else:
            return
