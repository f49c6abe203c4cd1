"""Sends one signed message to one URL that a tenant gave, by the rules for such targets."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from whisperdrop.domain.webhook_schedule import parse_retry_after
from whisperdrop.domain.webhook_signature import headers as signature
from whisperdrop.domain.webhook_target import Target, TargetRules, parse_target
from whisperdrop.errors import WebhookRefusedError
from whisperdrop.ports import (
    Endpoint,
    HttpAnswer,
    NotConnectedError,
    Outbound,
    UnreachableError,
)

_RESOLVE_S = 5.0
_MAX_ADDRESSES = 3
"""Of one name that are tried while none accepts the connection."""

_GONE = 410


@dataclass(frozen=True)
class Sent:
    """What became of a message."""

    ms: int
    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        """Whether the target took it: any 2xx."""
        return self.error is None

    @property
    def unwanted(self) -> bool:
        """Whether the target wants no more of it."""
        return self.status == _GONE


class Courier:
    """Safe to share among threads."""

    def __init__(
        self,
        outbound: Outbound,
        rules: TargetRules,
        *,
        timeout_s: float,
        agent: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbound = outbound
        self._rules = rules
        self.timeout_s = timeout_s
        self._agent = agent
        self._monotonic = monotonic

    def host_of(self, url: str) -> str:
        """The host that ``url`` names, or all of ``url`` where it names none."""
        try:
            return parse_target(url, self._rules).host.lower()
        except WebhookRefusedError:
            return url

    def check(self, url: str, *, must_resolve: bool = True) -> None:
        """Raises WebhookRefusedError when nothing would be sent to ``url``, as things are now.

        Without ``must_resolve``, a name that has no address at the moment is let pass.
        """
        target = parse_target(url, self._rules)
        try:
            addresses = self._outbound.resolve(target.host, timeout_s=_RESOLVE_S)
        except UnreachableError as error:
            if not must_resolve:
                return
            raise WebhookRefusedError(str(error)) from error
        self._rules.judge(target, addresses)

    def send(
        self,
        url: str,
        webhook_id: str,
        body: bytes,
        secrets: tuple[str, ...],
        now: datetime,
        headers: Mapping[str, str] | None = None,
    ) -> Sent:
        """Send ``body`` once; nothing is raised, what went wrong is in the answer.

        ``headers`` are sent beside those of the signature, and are not signed.
        """
        began = self._monotonic()
        status = retry_after_s = None
        try:
            signed = signature(webhook_id, now, body, secrets)
            answer = self._post(url, {**(headers or {}), **signed}, body, began)
            status = answer.status
            retry_after_s = parse_retry_after(answer.retry_after, now)
            error = _complaint(status)
        except WebhookRefusedError as refused:
            error = refused.message
        except UnreachableError as unreachable:
            error = str(unreachable)
        ms = round((self._monotonic() - began) * 1000)
        return Sent(ms, status, error, retry_after_s)

    def _post(self, url: str, headers: dict[str, str], body: bytes, began: float) -> HttpAnswer:
        target = parse_target(url, self._rules)
        addresses = self._outbound.resolve(target.host, timeout_s=min(_RESOLVE_S, self.timeout_s))
        judged = self._rules.judge(target, addresses)[:_MAX_ADDRESSES]
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            "Connection": "close",
            **headers,
        }
        for address in judged[:-1]:
            try:
                return self._post_to(address, target, headers, body, began)
            except NotConnectedError:
                continue
        return self._post_to(judged[-1], target, headers, body, began)

    def _post_to(
        self, address: str, target: Target, headers: dict[str, str], body: bytes, began: float
    ) -> HttpAnswer:
        left_s = self.timeout_s - (self._monotonic() - began)
        if left_s <= 0:  # nobody begins to send when its lease may be about to end
            raise UnreachableError(f"the target was not reached in {self.timeout_s:.0f} s")
        endpoint = Endpoint(
            address=address,
            port=target.port,
            host=target.host,
            authority=target.authority,
            path=target.path,
            tls=target.tls,
        )
        return self._outbound.post(endpoint, headers, body, timeout_s=left_s)


def _complaint(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"the target answered {status}: redirects are not followed"
    if status == _GONE:
        return "the target answered 410: it wants no more of this"
    return f"the target answered {status}"
