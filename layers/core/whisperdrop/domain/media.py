"""Which uploads are let in, and what an object in the bucket may be called."""

import re
import unicodedata
from pathlib import PurePosixPath

from whisperdrop.errors import InvalidValueError, UnsupportedMediaTypeError

# Extension → the content type that we sign when the caller names none.
CONTENT_TYPES = {
    "aac": "audio/aac",
    "aif": "audio/aiff",
    "aiff": "audio/aiff",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpga": "audio/mpeg",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "webm": "video/webm",
}
EXTENSIONS = frozenset(CONTENT_TYPES)
MAX_NAME_BYTES = 200  # S3 keys end at 1,024 bytes; the prefix needs its share

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# ASCII and one line: the value is signed, and sent as a header.
_CONTENT_TYPE = re.compile(r"[a-zA-Z]+/[a-zA-Z0-9.+_-]+( *; *[a-zA-Z0-9-]+=[!-+\--:<-~]+)*")


def safe_name(name: str) -> str:
    """``name`` as the last part of a key: no directories, no control characters, NFC, bounded.

    Raises InvalidValueError when nothing is left of it.
    """
    base = PurePosixPath(name.replace("\\", "/")).name
    base = base.encode(errors="ignore").decode()  # half a surrogate pair is no character
    # In the key of a form POST, S3 puts the client's file name in place of ${filename}.
    base = base.replace("${", "{")
    base = _CONTROL.sub("", unicodedata.normalize("NFC", base)).strip()
    if base in {"", ".", ".."}:
        raise InvalidValueError("the file needs a name, such as 'meeting.mp3'")
    stem, dot, extension = base.rpartition(".")
    if not dot:
        return base.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    room = MAX_NAME_BYTES - len(extension.encode()) - 1
    if room < 1:
        raise InvalidValueError("the file's extension is too long")
    return f"{stem.encode()[:room].decode(errors='ignore')}.{extension}"


def extension_of(name: str) -> str:
    """Lower-case extension without the dot, or ``""``."""
    return PurePosixPath(name).suffix.removeprefix(".").lower()


def media_type(name: str, content_type: str | None) -> str:
    """The content type to store for a file called ``name``.

    A known extension is enough; without an extension an ``audio/*`` or ``video/*`` content type
    is. What the bytes really are is for the decoder to find out.

    Raises UnsupportedMediaTypeError for anything else, InvalidValueError for a malformed type.
    """
    if content_type and not _CONTENT_TYPE.fullmatch(content_type):
        raise InvalidValueError(f"{content_type[:80]!r} is not a content type, such as audio/mpeg")
    extension = extension_of(name)
    if extension in EXTENSIONS:
        generic = content_type in {None, "", "application/octet-stream"}
        return CONTENT_TYPES[extension] if generic or content_type is None else content_type
    if not extension and content_type and content_type.split("/")[0].lower() in {"audio", "video"}:
        return content_type
    raise UnsupportedMediaTypeError(
        f"{name[:80]!r} is not a supported audio file; send one of: {', '.join(sorted(EXTENSIONS))}"
    )
