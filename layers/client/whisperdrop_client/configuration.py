"""Where the server is, with which key, and how patient one is."""

import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from whisperdrop_client.errors import UnreachableError, WhisperdropError
from whisperdrop_client.flows import DEFAULT_POLICY, Policy, Request

URL_VARIABLE = "WHISPERDROP_URL"
KEY_VARIABLE = "WHISPERDROP_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
TIMEOUT_S = 60.0
"""For one request without what the server waits on purpose; also between two pieces of a body."""


class NotConfiguredError(WhisperdropError):
    """The address is no address, or there is no key."""


@dataclass(frozen=True)
class Configuration:
    """What both clients are made of."""

    url: str
    api_key: str = field(repr=False)
    timeout_s: float = TIMEOUT_S
    policy: Policy = DEFAULT_POLICY

    @classmethod
    def of(
        cls, url: str | None, api_key: str | None, timeout_s: float, policy: Policy
    ) -> "Configuration":
        """Arguments first, then the environment. Raises NotConfiguredError."""
        url = (url or os.environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise NotConfiguredError(f"{url!r} is no address; {URL_VARIABLE} is one like https://…")
        api_key = api_key or os.environ.get(KEY_VARIABLE) or ""
        if not api_key:
            raise NotConfiguredError(f"there is no API key; set {KEY_VARIABLE}")
        if not (api_key.isascii() and api_key.isprintable()):
            raise NotConfiguredError("the API key has characters that no key has")
        return cls(url, api_key, timeout_s, policy)

    def arguments(self, request: Request) -> dict[str, object]:
        """Arguments for httpx's ``build_request``, the same for both kinds of clients."""
        headers = dict(request.headers)
        if not request.to_storage:
            headers["Authorization"] = f"Bearer {self.api_key}"
        if request.body is not None:
            headers["Content-Length"] = str(request.body.length)
        arguments: dict[str, object] = {
            "method": request.method,
            "url": request.path if request.to_storage else self.url + request.path,
            "headers": headers,
            "timeout": httpx.Timeout(
                self.timeout_s, read=self.timeout_s + request.waits_s, connect=10, pool=None
            ),
        }
        if request.params:
            arguments["params"] = request.params
        if request.json is not None:
            arguments["json"] = request.json
        return arguments

    def no_answer(self, error: httpx.HTTPError) -> UnreachableError:
        """What a failure of httpx means."""
        sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        where = error.request.url.netloc.decode() if error._request else self.url
        reason = _ERRNO.sub("", str(error)) or type(error).__name__
        return UnreachableError(f"no answer from {where}: {reason}", sent=sent)
