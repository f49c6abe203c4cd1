"""How many requests of a tenant are at work, and the headers that every answer of this door has."""

import time
from collections import Counter

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisperdrop.errors import TooManyRequestsError
from whisperdrop_api.routes.openai.errors import is_ours

_RESET_S = 1


class Slot:
    """The place of one request; taken once it is known whose it is."""

    def __init__(self, taken: Counter[str], limit: int) -> None:
        self._taken = taken
        self._limit = limit
        self._tenant: str | None = None
        self.remaining: int | None = None

    def take(self, tenant: str) -> None:
        """Raises TooManyRequestsError when the tenant has no place left."""
        if self._taken[tenant] >= self._limit:
            self.remaining = 0
            raise TooManyRequestsError(
                f"{self._limit} of your requests are at work already; send this one again when one "
                "of them has been answered"
            )
        self._taken[tenant] += 1
        self._tenant = tenant
        self.remaining = self._limit - self._taken[tenant]

    def free(self) -> None:
        """Give the place back, if it was taken."""
        if self._tenant is not None:
            self._taken[self._tenant] -= 1
            if not self._taken[self._tenant]:
                del self._taken[self._tenant]
            self._tenant = None

    def headers(self) -> dict[str, str]:
        """Under the names that OpenAI's API has them."""
        if self.remaining is None:
            return {}
        return {
            "x-ratelimit-limit-requests": str(self._limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{0 if self.remaining else _RESET_S}s",
        }


class SlotMiddleware:
    """Frees the place whatever becomes of the request, a stream or a lost client included."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._taken: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_ours(scope["path"]):
            await self._app(scope, receive, send)
            return
        slot = Slot(self._taken, self._limit)
        scope.setdefault("state", {})["slot"] = slot
        began = time.perf_counter()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["openai-processing-ms"] = str(round((time.perf_counter() - began) * 1000))
                headers.update(slot.headers())
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            slot.free()
