"""A worker that is kept ready, as callers ask for it."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.clock import ManualClock
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop_api.app import create_app
from whisperdrop_api.composition import Services

Caller = Callable[..., TestClient]


@pytest.fixture
def services(clock: ManualClock) -> Services:
    store = MemoryObjectStore(clock)
    made = services_over(store, clock)
    return Services(**{**vars(made), "clock": clock})


@pytest.fixture
def call(services: Services) -> Caller:
    def client(*scopes: Any) -> TestClient:
        key = services.api_keys.issue("acme", "test", scopes=scopes)
        return TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"})

    return client


def test_a_worker_is_kept_warm_until_then(call: Caller, clock: ManualClock) -> None:
    client = call("read", "write")
    assert client.get("/v1/warm").json() == {"until": None}
    answer = client.post("/v1/warm", json={"seconds": 900})
    assert answer.status_code == 200
    assert answer.json() == {"until": "2026-03-01T12:15:00Z"}
    assert client.post("/v1/warm", json={"seconds": 60}).json() == answer.json()
    assert client.get("/v1/warm").json() == answer.json()
    clock.advance(900)
    assert client.get("/v1/warm").json() == {"until": None}


@pytest.mark.parametrize(
    "body", [{}, {"seconds": 0}, {"seconds": 3601}, {"seconds": "60"}, {"seconds": 60, "more": 1}]
)
def test_what_is_no_time_is_refused(body: dict[str, Any], call: Caller) -> None:
    answer = call("write").post("/v1/warm", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_value")


def test_only_a_key_that_may_write_can_ask_for_it(call: Caller) -> None:
    assert call("read").post("/v1/warm", json={"seconds": 60}).status_code == 403
    assert call("write").get("/v1/warm").status_code == 403
    assert call("read").get("/v1/warm").status_code == 200
