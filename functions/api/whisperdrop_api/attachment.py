"""File names in the answer's headers."""

import unicodedata
from urllib.parse import quote

from whisperdrop.domain.media import EXTENSIONS


def file_name(media: str, extension: str) -> str:
    """The name of a rendering of ``media``: players look for meeting.srt beside meeting.mp4."""
    stem, dot, suffix = media.rpartition(".")
    return f"{stem if dot and stem and suffix.lower() in EXTENSIONS else media}.{extension}"


def attachment(name: str) -> str:
    """``Content-Disposition`` that has a browser save the body as ``name`` (RFC 6266, RFC 8187).

    Old clients get the name in ASCII. Control characters and those that turn the direction of
    writing go: a name must not look like another one.
    """
    clean = "".join(c for c in name if unicodedata.category(c)[0] != "C") or "transcript"
    plain = (c for c in unicodedata.normalize("NFKD", clean) if not unicodedata.combining(c))
    fallback = "".join(c if c.isascii() and c not in '"\\%/' else "_" for c in plain)
    value = f'attachment; filename="{fallback}"'
    return value if fallback == clean else f"{value}; filename*=UTF-8''{quote(clean, safe='')}"
