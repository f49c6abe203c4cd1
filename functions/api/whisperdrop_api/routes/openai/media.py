"""The file of a request: by its extension, else its content type, else its first bytes."""

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from starlette.datastructures import FormData, UploadFile

from whisperdrop.domain.media import CONTENT_TYPES, EXTENSIONS, extension_of, media_type, safe_name
from whisperdrop.errors import InvalidValueError, TooLargeError, UnsupportedMediaTypeError
from whisperdrop_api.middleware import too_large

_SNIFFED = 12  # bytes
_BLOCK = 1 << 20
_GENERIC = {"", "application/octet-stream", "binary/octet-stream"}
# Offset, bytes, what they begin. The last ones are the least certain.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (8, b"WAVE", "wav"),
    (8, b"AIFF", "aiff"),
    (8, b"AIFC", "aiff"),
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, b"ID3", "mp3"),
    (0, b"\x1a\x45\xdf\xa3", "webm"),
    (4, b"ftypM4A", "m4a"),
    (4, b"ftypqt", "mov"),
    (4, b"ftyp", "mp4"),
    (0, b"\x00\x00\x01\xba", "mpeg"),
    (0, b"\xff\xf1", "aac"),
    (0, b"\xff\xf9", "aac"),
    (0, b"\xff\xfb", "mp3"),
    (0, b"\xff\xf3", "mp3"),
    (0, b"\xff\xf2", "mp3"),
    (0, b"\xff\xfa", "mp3"),
)


@dataclass(frozen=True)
class Media:
    """A file under a name that says what it is; ``size`` in bytes."""

    name: str
    content_type: str
    file: BinaryIO
    size: int


def media_of(form: FormData, limit: int) -> Media:
    """The form's file, of 1 to ``limit`` bytes.

    Raises InvalidValueError, TooLargeError, UnsupportedMediaTypeError.
    """
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise InvalidValueError("file: send the audio as the form field 'file'", param="file")
    if not upload.size:
        raise InvalidValueError("file: it is empty", param="file")
    if upload.size > limit:
        raise TooLargeError(too_large(limit))
    name, content_type = _named(upload)
    return Media(name, content_type, upload.file, upload.size)


def sha256_of(file: BinaryIO) -> str:
    """Of the whole file, in hex; it is at its beginning afterwards."""
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def _named(upload: UploadFile) -> tuple[str, str]:
    given = upload.filename or ""
    if extension_of(given) in EXTENSIONS:
        # What a client guesses of the type, such as audio/x-wav, says no more than the extension.
        return _safe(given, CONTENT_TYPES[extension_of(given)])
    content_type = (upload.content_type or "").partition(";")[0].strip().lower()
    stem = PurePosixPath(given.replace("\\", "/")).stem.replace(".", "_") or "audio"
    if content_type.split("/")[0] in {"audio", "video"}:
        return _safe(stem, upload.content_type)
    if not extension_of(given) and content_type in _GENERIC and (kind := _sniff(upload)):
        return _safe(f"{stem}.{kind}", CONTENT_TYPES[kind])
    raise UnsupportedMediaTypeError(
        f"{given[:80]!r} is no supported audio file; send one of: {', '.join(sorted(EXTENSIONS))}"
    )


def _safe(name: str, content_type: str | None) -> tuple[str, str]:
    try:
        name = safe_name(name)
        return name, media_type(name, content_type)
    except InvalidValueError as error:
        raise InvalidValueError(f"file: {error.message}", param="file") from error


def _sniff(upload: UploadFile) -> str | None:
    upload.file.seek(0)
    head = upload.file.read(_SNIFFED)
    upload.file.seek(0)
    return next((kind for at, magic, kind in _MAGIC if head.startswith(magic, at)), None)
