"""What nobody foresaw: a line in the log that names the request, an answer without details."""

import pytest
from fastapi.testclient import TestClient

from tests.clock import ManualClock
from tests.unit.api.services import services_over
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.ports import StoredObject
from whisperdrop_api.app import create_app


class Broken(MemoryObjectStore):
    """A bug of ours."""

    def get(self, key: str) -> StoredObject | None:
        raise ZeroDivisionError(f"while reading {key}")


@pytest.mark.parametrize("path", ["/v1/jobs/zd37ld987itersdgv7bk161ap", "/v1/models/tiny.en"])
def test_a_bug_is_answered_with_the_requests_id_and_nothing_else(
    path: str, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    services = services_over(Broken(clock), clock, whisper_models="tiny.en")
    # Not the operator's key: that one is known without a look at the store.
    with TestClient(create_app(services), raise_server_exceptions=False) as client:
        answer = client.get(
            path, headers={"Authorization": "Bearer wd_other", "x-request-id": "request-1"}
        )

    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "request-1"
    assert "went wrong on our side" in answer.text
    assert "ZeroDivision" not in answer.text
    assert "keys/" not in answer.text
    (logged,) = [line for line in caplog.records if line.getMessage() == "unhandled_error"]
    assert vars(logged)["correlation_id"] == "request-1"
    assert logged.exc_info is not None
    assert logged.exc_info[0] is ZeroDivisionError
