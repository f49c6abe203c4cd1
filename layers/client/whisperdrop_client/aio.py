"""The async client, for asyncio and trio."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import httpx

from whisperdrop_client import calls
from whisperdrop_client.client import _sending, _throwing
from whisperdrop_client.configuration import TIMEOUT_S, Configuration
from whisperdrop_client.errors import WhisperdropError, api_error
from whisperdrop_client.flows import (
    DEFAULT_POLICY,
    Answer,
    Attempt,
    Flow,
    Pause,
    Policy,
    Request,
    Step,
    Together,
)
from whisperdrop_client.flows import attempts as attempts_of
from whisperdrop_client.models import Event, Job, JobPage
from whisperdrop_client.surface import (
    AsyncPart,
    ClientMethods,
    JobMethods,
    KeyMethods,
    WebhookMethods,
)
from whisperdrop_client.tailing import Tail

T = TypeVar("T")


class AsyncDriver:
    """Does the steps of flows; `Together` takes tasks."""

    def __init__(
        self, configuration: Configuration, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.configuration = configuration
        self.http = httpx.AsyncClient(transport=transport, follow_redirects=False)

    async def run(self, flow: Flow[T]) -> T:
        """Do every step of ``flow``; its result."""
        with contextlib.closing(flow):
            do = flow.__next__
            while True:
                try:
                    step = do()
                except StopIteration as end:
                    result: T = end.value
                    return result
                try:
                    value = await self._do(step)
                except WhisperdropError as error:
                    do = _throwing(flow, error)
                else:
                    do = _sending(flow, value)

    async def _do(self, step: Step) -> Any:
        match step:
            case Request():
                return await self.run(attempts_of(step, self.configuration.policy))
            case Attempt(request):
                return await self._send(request)
            case Pause(seconds):
                return await anyio.sleep(seconds)
            case Together():
                return await self._together(step)

    def build(self, request: Request) -> httpx.Request:
        """For httpx."""
        built = self.http.build_request(**self.configuration.arguments(request))  # type: ignore[arg-type]
        return built if request.body is None else request.body.into(built)

    async def _send(self, request: Request) -> Answer:
        try:
            response = await self.http.send(self.build(request))
        except httpx.HTTPError as error:
            raise self.configuration.no_answer(error) from error
        return Answer(response.status_code, response.headers, response.content)

    async def _together(self, step: Together) -> None:
        """Tasks take flows from one iterator; the first error ends all."""
        flows = iter(step.flows)
        failed: list[WhisperdropError] = []

        async def work() -> None:
            for flow in flows:
                try:
                    await self.run(flow)
                except WhisperdropError as error:
                    failed.append(error)
                    group.cancel_scope.cancel()
                    return

        async with anyio.create_task_group() as group:
            for _ in range(step.at_once):
                group.start_soon(work)
        if failed:
            raise failed[0]


class AsyncJobs(JobMethods, AsyncPart):
    """Jobs."""

    _runner: AsyncDriver

    async def list(
        self,
        *,
        status: Sequence[str] = (),
        q: str | None = None,
        limit: int | None = None,
        page_size: int = 50,
    ) -> AsyncIterator[Job]:
        """The jobs, newest first, page after page as they are asked for; ``limit`` of them."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = page_size if left is None else min(left, page_size)
            page: JobPage = await self._runner.run(
                calls.list_page(status=status, q=q, limit=size, cursor=cursor)
            )
            for job in page.data[:left]:
                yield job
            left = None if left is None else left - len(page.data)
            if (cursor := page.next_cursor) is None:
                return

    async def events(self, job_id: str, *, after: str = "") -> AsyncIterator[Event]:
        """Changes of the job and its segments as they are finished, until it has ended.

        A lost connection is made again and goes on where it was.
        """
        driver = self._runner
        tail = Tail(job_id, driver.configuration.policy, after)
        while True:
            failure: WhisperdropError | None = None
            try:
                response = await driver.http.send(driver.build(tail.request()), stream=True)
                async with contextlib.aclosing(response):
                    if response.status_code >= 400:
                        content = await response.aread()
                        raise api_error(response.status_code, response.headers, content)
                    async for piece in response.aiter_bytes():
                        for event in tail.feed(piece):
                            yield event
            except httpx.HTTPError as error:
                failure = driver.configuration.no_answer(error)
            except WhisperdropError as error:
                failure = error
            if tail.ended:
                return
            await anyio.sleep(tail.pause(failure))


class AsyncKeys(KeyMethods, AsyncPart):
    """API keys."""


class AsyncWebhooks(WebhookMethods, AsyncPart):
    """The tenant's webhook."""


class AsyncWhisperdrop(ClientMethods, AsyncPart):
    """As `Whisperdrop`, with coroutines."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        policy: Policy = DEFAULT_POLICY,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        driver = AsyncDriver(Configuration.of(base_url, api_key, timeout, policy), transport)
        super().__init__(driver)
        self._driver = driver
        self.jobs = AsyncJobs(driver)
        self.keys = AsyncKeys(driver)
        self.webhook = AsyncWebhooks(driver)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._driver.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
