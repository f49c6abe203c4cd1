"""Streams through Mangum, which passes an answer on when it is whole."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Request
from mangum import Mangum

from tests.builders import a_request, a_transcript, an_outcome, stored_job
from tests.clock import ManualClock
from tests.lambda_emulator import http_event
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.domain.ids import JobRef
from whisperdrop.service.settlement import settle
from whisperdrop_api.app import create_app
from whisperdrop_api.composition import Services

TENANT = "default"


class Gateway:
    """API Gateway and Lambda, in this process."""

    def __init__(self, services: Services, recorded: dict[str, Any]) -> None:
        self._handler = Mangum(create_app(services), lifespan="off")
        self._recorded = recorded

    def __call__(self, method: str, path: str, headers: Any, body: bytes = b"") -> dict[str, Any]:
        known = {"Authorization": "Bearer operator", **headers}
        event = http_event(self._recorded, method=method, path=path, headers=known, body=body)
        answer: dict[str, Any] = self._handler(event, None)  # type: ignore[arg-type]
        if answer["isBase64Encoded"]:
            answer["body"] = base64.b64decode(answer["body"]).decode()
        return answer


@pytest.fixture
def store(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock)


@pytest.fixture
def _loop() -> Iterator[None]:
    """Mangum takes the thread's event loop; as Lambda does, one serves every event."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def gateway(
    store: MemoryObjectStore, clock: ManualClock, project_root: Path, _loop: None
) -> Gateway:
    path = project_root / "tests" / "events" / "gateway" / "api_gateway_v2_create_job.json"
    services = services_over(store, clock, sync_wait_seconds=0, max_wait_seconds=0)
    return Gateway(services, json.loads(path.read_text()))


def transcription(gateway: Gateway) -> dict[str, Any]:
    form = {"model": "whisper-1", "stream": "true"}
    sent = Request("POST", "https://any", data=form, files={"file": ("a.wav", b"RIFF")})
    headers = {"Content-Type": sent.headers["content-type"]}
    return gateway("POST", "/v1/audio/transcriptions", headers, sent.read())


def test_a_transcription_is_streamed_whole_or_asked_for_again(
    gateway: Gateway, store: MemoryObjectStore
) -> None:
    waiting = transcription(gateway)
    assert waiting["statusCode"] == 503
    assert int(waiting["headers"]["retry-after"]) > 0
    ref = JobRef(TENANT, waiting["headers"]["x-whisperdrop-job"])
    settle(store, an_outcome(ref), a_transcript(ref))

    done = transcription(gateway)

    assert done["statusCode"] == 200
    assert done["headers"]["content-type"].startswith("text/event-stream")
    *deltas, last = [json.loads(frame[6:]) for frame in done["body"].strip().split("\n\n")]
    assert "".join(delta["delta"] for delta in deltas) == last["text"] != ""


def test_the_events_of_a_job_that_goes_on_end_and_are_asked_for_again(
    gateway: Gateway, store: MemoryObjectStore
) -> None:
    job = stored_job(store, a_request(JobRef(TENANT, a_request().job_id)), media=b"audio")
    path = f"/v1/jobs/{job.job_id}/events"
    assert "event: end" not in gateway("GET", path, {})["body"]
    settle(store, an_outcome(job.ref), a_transcript(job.ref))
    rest = gateway("GET", path, {"Last-Event-ID": "1"})["body"]
    assert [line for line in rest.split("\n") if line.startswith("event: ")] == [
        "event: segment",
        "event: end",
    ]
