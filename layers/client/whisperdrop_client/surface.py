"""The methods of both clients, once.

`Endpoint` turns a flow into a method that runs it: at once on a sync client, as a coroutine on an
async one. Type checkers see the flow's own parameters and result either way.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from whisperdrop_client import calls, jobs
from whisperdrop_client.flows import Flow

P = ParamSpec("P")
T = TypeVar("T")


class SyncRunner(Protocol):
    """Something that runs flows and returns their results."""

    def run(self, flow: Flow[T]) -> T:
        """Do every step."""
        ...


class AsyncRunner(Protocol):
    """The same, awaited."""

    async def run(self, flow: Flow[T]) -> T:
        """Do every step."""
        ...


class SyncPart:
    """A group of methods of a sync client."""

    def __init__(self, runner: SyncRunner) -> None:
        self._runner = runner


class AsyncPart:
    """A group of methods of an async client."""

    def __init__(self, runner: AsyncRunner) -> None:
        self._runner = runner


class Endpoint(Generic[P, T]):
    """A method made of a flow."""

    def __init__(self, flow: Callable[P, Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: SyncPart, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: AsyncPart, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, instance: SyncPart | AsyncPart | None, owner: type) -> Any:
        if instance is None:
            return self
        runner = instance._runner

        @functools.wraps(self._flow)
        def run(*args: P.args, **kwargs: P.kwargs) -> Any:
            return runner.run(self._flow(*args, **kwargs))

        return run


class JobMethods:
    """``client.jobs``."""

    create = Endpoint(calls.create_job)
    batch = Endpoint(calls.create_batch)
    submit = Endpoint(jobs.submit)
    upload = Endpoint(jobs.upload)
    resume_upload = Endpoint(jobs.resume_upload)
    upload_state = Endpoint(calls.upload_state)
    abort_upload = Endpoint(calls.abort_upload)
    get = Endpoint(calls.get_job)
    wait = Endpoint(jobs.wait)
    page = Endpoint(calls.list_page)
    cancel = Endpoint(calls.cancel_job)
    delete = Endpoint(jobs.delete)
    transcript = Endpoint(calls.get_transcript)
    render = Endpoint(calls.render_transcript)
    deliveries = Endpoint(calls.deliveries)
    redeliver = Endpoint(calls.redeliver)


class KeyMethods:
    """``client.keys``; all need the scope ``admin``."""

    create = Endpoint(calls.create_key)
    list = Endpoint(calls.list_keys)
    revoke = Endpoint(calls.revoke_key)


class WebhookMethods:
    """``client.webhook``: the tenant's own."""

    set = Endpoint(calls.set_webhook)
    get = Endpoint(calls.get_webhook)
    delete = Endpoint(calls.delete_webhook)
    test = Endpoint(calls.test_webhook)


class ClientMethods:
    """The client itself."""

    transcribe = Endpoint(jobs.transcribe)
    models = Endpoint(calls.list_models)
    usage = Endpoint(calls.usage)
    health = Endpoint(calls.health)
