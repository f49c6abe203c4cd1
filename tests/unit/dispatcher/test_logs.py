from collections.abc import Iterator

import pytest

from tests.clock import ManualClock
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.errors import StoreError
from whisperdrop.observability.catalogue import BY_SERVICE
from whisperdrop.observability.metrics import use
from whisperdrop.observability.prometheus import PrometheusSink
from whisperdrop.ports import QueueDepth
from whisperdrop.service.notification_sweep import NotificationReport
from whisperdrop.service.sweep import SweepReport
from whisperdrop_dispatcher import composition
from whisperdrop_dispatcher.measuring import Count


@pytest.fixture
def sink() -> Iterator[PrometheusSink]:
    sink = PrometheusSink(BY_SERVICE["dispatcher"])
    use(sink)
    yield sink
    use()


def values(sink: PrometheusSink) -> dict[str, float]:
    """What is above 0."""
    lines = sink.exposition().decode().splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith("whisperdrop_"))
    return {name: float(value) for name, _, value in found if float(value)}


def test_each_job_that_a_pass_did_something_for_has_a_line_with_its_requests_id(
    sink: PrometheusSink, caplog: pytest.LogCaptureFixture
) -> None:
    report = SweepReport(seen=3, requeued=["j1"], expired=["j2"])
    report.correlation_ids["j1"] = "request-1"
    with caplog.at_level("INFO"):
        composition.log(report)
    lines = [vars(record) for record in caplog.records if record.message == "job_swept"]
    assert [(line["job_id"], line["done"], line["correlation_id"]) for line in lines] == [
        ("j1", "requeued", "request-1"),
        ("j2", "expired", None),
    ]


def test_what_a_pass_found_is_counted(sink: PrometheusSink) -> None:
    report = SweepReport(seen=3, requeued=["j1"], damaged=["jobs/x"])
    for _ in range(2):
        composition.log(report)
    composition.log_notifications(NotificationReport(sent=["j1"], damaged=["a", "b"]))
    assert values(sink) == {
        "whisperdrop_sweep_pending": 3,
        "whisperdrop_sweep_requeued_total": 2,
        'whisperdrop_sweep_damaged{of="jobs"}': 1,
        'whisperdrop_sweep_damaged{of="notifications"}': 2,
        "whisperdrop_sweep_notifications_sent_total": 1,
    }


class Meter:
    """A queue that has so many messages, or that is away."""

    def __init__(self, depth: QueueDepth | None) -> None:
        self._depth = depth

    def depth(self) -> QueueDepth:
        if self._depth is None:
            raise StoreError("the queue failed")
        return self._depth


def test_a_queue_that_is_away_keeps_no_other_from_being_counted(
    sink: PrometheusSink, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    meters = {"interactive": Meter(None), "bulk": Meter(QueueDepth(5, 2, 1))}
    Count(MemoryObjectStore(clock), meters, clock)()
    assert values(sink) == {
        'whisperdrop_queue_messages{queue="bulk",state="visible"}': 5,
        'whisperdrop_queue_messages{queue="bulk",state="in_flight"}': 2,
        'whisperdrop_queue_messages{queue="bulk",state="dead"}': 1,
    }
    assert "not_counted" in caplog.text
