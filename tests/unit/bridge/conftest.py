"""A bridge over queues in memory, that can be taken away."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from fastapi.testclient import TestClient

from tests.clock import ManualClock
from whisperdrop.adapters.memory import MemoryJobQueue
from whisperdrop.errors import StoreError
from whisperdrop_bridge.app import create_app
from whisperdrop_bridge.routing import Destination

TOKEN = "a-token-of-the-tests"
BUCKET = "media"


class FragileQueue(MemoryJobQueue):
    """Refuses after so many messages; None never does."""

    refuses_after: int | None = None

    def send(self, body: str, *, delay_s: int = 0) -> None:
        if self.refuses_after is not None:
            if self.refuses_after == 0:
                raise StoreError("queueing the job failed; try again in a moment")
            self.refuses_after -= 1
        super().send(body, delay_s=delay_s)


@dataclass
class Bridge:
    """What MinIO sees of it, and what is behind it."""

    http: TestClient
    bulk: FragileQueue
    notify: FragileQueue
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {TOKEN}"})

    def post(self, body: bytes) -> int:
        """The status of an answer to MinIO."""
        return self.http.post("/events", content=body, headers=self.headers).status_code

    def counted(self, result: str) -> float:
        """Records with that end."""
        name = f'whisperdrop_bridge_records_total{{result="{result}"}} '
        lines = self.http.get("/metrics").text.splitlines()
        return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def bodies(queue: MemoryJobQueue) -> list[str]:
    """Everything that waits in it, in order."""
    found = []
    while message := queue.receive(wait_s=0, visibility_s=60):
        found.append(message.body)
    return found


@pytest.fixture
def bridge(clock: ManualClock) -> Iterator[Bridge]:
    """A bridge for the bucket ``media``, with events of at most 64 KiB."""
    bulk, notify = FragileQueue(clock), FragileQueue(clock)
    app = create_app(
        {Destination.BULK: bulk, Destination.NOTIFY: notify},
        bucket=BUCKET,
        token=TOKEN,
        max_event_bytes=64 * 1024,
    )
    with TestClient(app) as http:
        yield Bridge(http, bulk, notify)
