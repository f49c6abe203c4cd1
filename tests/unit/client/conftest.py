"""Both clients over a server that is a function; a test with `call` runs once for each."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

from whisperdrop_client import AsyncWhisperdrop, Policy, Whisperdrop

URL = "http://server"
KEY = "wd_test"
QUICK = Policy(retries=3, first_s=0.0, longest_s=0.0)

Handler = Callable[[httpx.Request], httpx.Response]
Call = Callable[[Handler, Callable[[Any], Any]], Any]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WHISPERDROP_URL", "WHISPERDROP_API_KEY", "WHISPERDROP_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Runs ``use(client)`` on a client whose server is ``handler``; iterators become lists."""

    def sync(handler: Handler, use: Callable[[Any], Any]) -> Any:
        transport = httpx.MockTransport(handler)
        with Whisperdrop(URL, KEY, policy=QUICK, transport=transport) as client:
            result = use(client)
            return list(result) if isinstance(result, Iterator) else result

    def asynchronous(handler: Handler, use: Callable[[Any], Any]) -> Any:
        async def handle(request: httpx.Request) -> httpx.Response:
            await request.aread()
            return handler(request)

        async def main() -> Any:
            transport = httpx.MockTransport(handle)
            async with AsyncWhisperdrop(URL, KEY, policy=QUICK, transport=transport) as client:
                result = use(client)
                if isinstance(result, AsyncIterator):
                    return [item async for item in result]
                return await result if inspect.isawaitable(result) else result

        return anyio.run(main)

    return sync if request.param == "sync" else asynchronous


def a_job(**fields: Any) -> dict[str, Any]:
    """A job as the server answers it."""
    return {
        "job_id": "j1",
        "status": "running",
        "model": "tiny.en",
        "created_at": "2030-01-01T12:00:00Z",
        "links": {},
    } | fields
