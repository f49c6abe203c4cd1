"""The web page: its files, and the headers that keep everything else out of it.

The page needs no key; whoever opens it types one in. Nothing of it is in the OpenAPI document.
"""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

from whisperdrop.errors import NotFoundError
from whisperdrop_api.dependencies import ServicesDep

_FOLDER = Path(__file__).resolve().parent.parent / "page"
_INDEX = "index.html"
_VERSION_MARK = b"{version}"  # in index.html, where the addresses of the other files stand

# Not from the machine's own tables: some say text/plain of .js, which no browser would run.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# Addresses of assets change with their contents, so what they hold never does.
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class _File:
    body: bytes
    content_type: str
    etag: str


@dataclass(frozen=True)
class _Page:
    version: str
    files: Mapping[str, _File]


@router.api_route("/", methods=["GET", "HEAD"])
def index(request: Request, services: ServicesDep) -> Response:
    """The page."""
    headers = {"Content-Security-Policy": content_security_policy(services.storage_origins())}
    return _answer(request, _page().files[_INDEX], _ASK_AGAIN, headers)


@router.api_route("/assets/{version}/{name}", methods=["GET", "HEAD"])
def asset(version: str, name: str, request: Request) -> Response:
    """A script, the style sheet or the icon.

    An address of another version, from a page that was loaded before an update, is answered with
    what there is now, and is not to be kept.
    """
    page = _page()
    file = page.files.get(name)
    if file is None or name == _INDEX:
        raise NotFoundError("the page has no such file")
    return _answer(request, file, _FOREVER if version == page.version else _ASK_AGAIN, {})


def content_security_policy(storage_origins: tuple[str, ...]) -> str:
    """What the page may do: run its own scripts, talk to this API and to the storage.

    Trusted Types are on and no policy may be made, so no script can turn text into markup.
    """
    storage = " ".join(storage_origins)
    directives = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        f"connect-src 'self' {storage}",
        f"media-src 'self' blob: {storage}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return "; ".join(directive.rstrip() for directive in directives)


def _answer(request: Request, file: _File, cache: str, headers: dict[str, str]) -> Response:
    headers |= {
        "ETag": file.etag,
        "Cache-Control": cache,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    known = request.headers.get("if-none-match", "")
    if file.etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}:
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = file.content_type
    # The server sends no body with the answer to a HEAD, and keeps its length.
    return Response(file.body, headers=headers)


@functools.cache
def _page() -> _Page:
    bodies = {
        path.name: path.read_bytes() for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES
    }
    whole = hashlib.sha256()
    for name, body in bodies.items():
        whole.update(f"{name} {len(body)}\n".encode() + body)
    version = whole.hexdigest()[:16]
    bodies[_INDEX] = bodies[_INDEX].replace(_VERSION_MARK, version.encode())
    return _Page(version, {name: _file(name, body) for name, body in bodies.items()})


def _file(name: str, body: bytes) -> _File:
    return _File(body, _TYPES[Path(name).suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')
