"""The sync client. Safe to share among threads."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from whisperdrop_client import calls
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
    ClientMethods,
    JobMethods,
    KeyMethods,
    SyncPart,
    WebhookMethods,
)
from whisperdrop_client.tailing import Tail

T = TypeVar("T")


class Driver:
    """Does the steps of flows, one after the other; `Together` takes threads."""

    def __init__(
        self, configuration: Configuration, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.configuration = configuration
        self.http = httpx.Client(transport=transport, follow_redirects=False)

    def run(self, flow: Flow[T]) -> T:
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
                    value = self._do(step)
                except WhisperdropError as error:
                    do = _throwing(flow, error)
                else:
                    do = _sending(flow, value)

    def _do(self, step: Step) -> Any:
        match step:
            case Request():
                return self.run(attempts_of(step, self.configuration.policy))
            case Attempt(request):
                return self._send(request)
            case Pause(seconds):
                return time.sleep(seconds)
            case Together():
                return self._together(step)

    def build(self, request: Request) -> httpx.Request:
        """For httpx."""
        built = self.http.build_request(**self.configuration.arguments(request))  # type: ignore[arg-type]
        return built if request.body is None else request.body.into(built)

    def _send(self, request: Request) -> Answer:
        try:
            response = self.http.send(self.build(request))
        except httpx.HTTPError as error:
            raise self.configuration.no_answer(error) from error
        return Answer(response.status_code, response.headers, response.content)

    def _together(self, step: Together) -> None:
        """Threads take flows from one iterator; after an error they take no more."""
        flows = iter(step.flows)
        lock, stopped = threading.Lock(), threading.Event()

        def work() -> None:
            while not stopped.is_set():
                with lock:
                    flow = next(flows, None)
                if flow is None:
                    return
                self.run(flow)

        with ThreadPoolExecutor(step.at_once, thread_name_prefix="whisperdrop") as pool:
            futures: list[Future[None]] = [pool.submit(work) for _ in range(step.at_once)]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            except BaseException:  # Ctrl-C
                step.stop()
                raise
            finally:
                stopped.set()
            failed = [
                error for future in futures if future.done() and (error := future.exception())
            ]
            if failed:
                step.stop()
        if failed:
            raise failed[0]


def _sending(flow: Flow[T], value: Any) -> Any:
    return lambda: flow.send(value)


def _throwing(flow: Flow[T], error: WhisperdropError) -> Any:
    return lambda: flow.throw(error)


class Jobs(JobMethods, SyncPart):
    """Jobs."""

    _runner: Driver

    def list(
        self,
        *,
        status: Sequence[str] = (),
        q: str | None = None,
        limit: int | None = None,
        page_size: int = 50,
    ) -> Iterator[Job]:
        """The jobs, newest first, page after page as they are asked for; ``limit`` of them."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = page_size if left is None else min(left, page_size)
            page: JobPage = self._runner.run(
                calls.list_page(status=status, q=q, limit=size, cursor=cursor)
            )
            yield from page.data[:left]
            left = None if left is None else left - len(page.data)
            if (cursor := page.next_cursor) is None:
                return

    def events(self, job_id: str, *, after: str = "") -> Iterator[Event]:
        """Changes of the job and its segments as they are finished, until it has ended.

        A lost connection is made again and goes on where it was.
        """
        driver = self._runner
        tail = Tail(job_id, driver.configuration.policy, after)
        while True:
            failure: WhisperdropError | None = None
            try:
                response = driver.http.send(driver.build(tail.request()), stream=True)
                with contextlib.closing(response):
                    if response.status_code >= 400:
                        raise api_error(response.status_code, response.headers, response.read())
                    for piece in response.iter_bytes():
                        yield from tail.feed(piece)
            except httpx.HTTPError as error:
                failure = driver.configuration.no_answer(error)
            except WhisperdropError as error:
                failure = error
            if tail.ended:
                return
            time.sleep(tail.pause(failure))


class Keys(KeyMethods, SyncPart):
    """API keys."""


class Webhooks(WebhookMethods, SyncPart):
    """The tenant's webhook."""


class Whisperdrop(ClientMethods, SyncPart):
    """A client of one server with one key; both come from the environment when left out.

    ``timeout`` is for one request, in seconds, without what the server waits on purpose.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        policy: Policy = DEFAULT_POLICY,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        driver = Driver(Configuration.of(base_url, api_key, timeout, policy), transport)
        super().__init__(driver)
        self._driver = driver
        self.jobs = Jobs(driver)
        self.keys = Keys(driver)
        self.webhook = Webhooks(driver)

    def close(self) -> None:
        """Close its connections."""
        self._driver.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
