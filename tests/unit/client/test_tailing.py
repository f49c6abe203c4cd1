"""Following a job over connections that break."""

import json
from typing import Any

import httpx
import pytest

from tests.unit.client.conftest import Call, a_job
from whisperdrop_client import JobEvent, NotFoundError, SegmentEvent, UnreachableError


def event(kind: str, data: dict[str, Any], last_id: int | None = None) -> bytes:
    head = "" if last_id is None else f"id: {last_id}\n"
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def segment(number: int) -> bytes:
    data = {"id": number, "start": 0, "end": 1.5, "text": f"s{number}", "flags": []}
    return event("segment", data, number + 1)


JOB = event("job", a_job())
END = event("end", a_job(status="succeeded"))


class Server:
    """One connection after the other; None refuses one."""

    def __init__(self, *connections: bytes | int | None) -> None:
        self.connections = list(connections)
        self.after: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.after.append(request.headers.get("last-event-id"))
        connection = self.connections.pop(0)
        if connection is None:
            raise httpx.ConnectError("refused")
        if isinstance(connection, int):
            return httpx.Response(connection, json={"detail": "no", "code": "job_not_found"})
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=b"retry: 0\n\n" + connection
        )


def texts(events: list[Any]) -> list[str]:
    return [e.segment.text for e in events if isinstance(e, SegmentEvent)]


def test_a_job_is_followed_to_its_end(call: Call) -> None:
    server = Server(JOB + segment(0) + b": keep-alive\n\n" + segment(1) + END)

    events = call(server, lambda client: client.jobs.events("j1"))

    assert texts(events) == ["s0", "s1"]
    assert isinstance(events[0], JobEvent)
    assert (events[-1].end, events[-1].job.succeeded) == (True, True)


def test_a_lost_connection_goes_on_after_the_last_segment(call: Call) -> None:
    server = Server(JOB + segment(0), None, JOB + segment(1)[:-9], JOB + segment(1) + END)

    events = call(server, lambda client: client.jobs.events("j1"))

    assert texts(events) == ["s0", "s1"]
    assert server.after == [None, "1", "1", "1"]


def test_events_of_a_newer_server_are_passed_over(call: Call) -> None:
    server = Server(event("mood", {"x": 1}) + END)
    assert len(call(server, lambda client: client.jobs.events("j1"))) == 1


def test_it_can_begin_in_the_middle(call: Call) -> None:
    server = Server(END)
    call(server, lambda client: client.jobs.events("j1", after="5"))
    assert server.after == ["5"]


def test_no_job_ends_it_at_once_and_no_server_after_some_tries(call: Call) -> None:
    with pytest.raises(NotFoundError):
        call(Server(404), lambda client: client.jobs.events("j1"))
    nobody = Server(*[None] * 10)
    with pytest.raises(UnreachableError):
        call(nobody, lambda client: client.jobs.events("j1"))
    assert len(nobody.after) == 4
