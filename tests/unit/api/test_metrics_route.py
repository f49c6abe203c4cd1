from collections.abc import Iterator

import pytest
from fastapi import Response
from fastapi.testclient import TestClient

from tests.clock import ManualClock
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.observability.catalogue import BY_SERVICE
from whisperdrop.observability.metrics import use
from whisperdrop.observability.prometheus import CONTENT_TYPE, PrometheusSink
from whisperdrop_api.app import create_app


@pytest.fixture
def client(clock: ManualClock) -> Iterator[TestClient]:
    sink = PrometheusSink(BY_SERVICE["api"])
    use(sink)
    app = create_app(
        services_over(MemoryObjectStore(clock), clock),
        lambda: Response(sink.exposition(), media_type=CONTENT_TYPE),
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
    use()


def counted(client: TestClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    name = "whisperdrop_http_requests_total"
    found = (line.rpartition(" ") for line in lines if line.startswith(name))
    return {labels.removeprefix(name): float(value) for labels, _, value in found}


def test_metrics_need_no_key_and_are_text(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert "# TYPE whisperdrop_http_requests_total counter" in answer.text


def test_requests_are_counted_by_their_routes_template(client: TestClient) -> None:
    client.get("/health")
    for job in ("zd37mn5sqxizuhhygj9taqzoi", "zd37mn5sqxizuhhygj9taqzoj"):
        client.get(f"/v1/jobs/{job}")
    client.get("/no/such/path")
    client.get("/docs")
    client.request("BREW", "/health")
    assert counted(client) == {
        '{method="GET",route="/health",status="200"}': 1,
        '{method="GET",route="/v1/jobs/{job_id}",status="401"}': 2,
        '{method="GET",route="unmatched",status="404"}': 1,
        '{method="GET",route="/docs",status="200"}': 1,
        '{method="other",route="/health",status="405"}': 1,
    }


def test_nobody_is_in_flight_when_all_are_answered(client: TestClient) -> None:
    client.get("/health")
    assert "whisperdrop_http_requests_in_flight 0.0" in client.get("/metrics").text


def test_where_nothing_is_offered_there_is_no_such_route(clock: ManualClock) -> None:
    with TestClient(create_app(services_over(MemoryObjectStore(clock), clock))) as client:
        answer = client.get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
