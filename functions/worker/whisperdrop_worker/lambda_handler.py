"""The worker as a Lambda function that both queues feed; partial failures are reported.

A record that is not acknowledged here comes back when its message becomes visible again.
"""

import functools
import threading
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from whisperdrop.domain.events import parse_event
from whisperdrop.observability import Logger
from whisperdrop.observability.emf import NAMESPACE, EmfSink
from whisperdrop.observability.metrics import use
from whisperdrop.service.leases import LeaseBusyError
from whisperdrop_worker.composition import Worker, build
from whisperdrop_worker.settings import WorkerSettings

logger = Logger(service="worker")
metrics = Metrics(namespace=NAMESPACE, service="worker")
_sink = EmfSink(metrics)

_HAND_BACK_BEFORE_END_MS = 15_000
"""Left before the function's time-out to release the lease and answer."""


@functools.cache
def _worker() -> Worker:
    return build(WorkerSettings())  # built at the first event: nothing happens at import


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Process a batch of SQS records."""
    use(_sink)
    stop = threading.Event()
    left_s = (context.get_remaining_time_in_millis() - _HAND_BACK_BEFORE_END_MS) / 1000
    alarm = threading.Timer(max(0.0, left_s), stop.set)
    alarm.daemon = True
    alarm.start()
    try:
        return process_partial_response(
            event=event,
            record_handler=functools.partial(_process, stop=stop),
            processor=BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False),
            context=context,
        )
    finally:
        alarm.cancel()


def _process(record: SQSRecord, *, stop: threading.Event) -> None:
    worker = _worker()
    for work in parse_event(record.body, bucket=worker.settings.bucket):
        try:
            worker.processor.process(
                work, keep_message=_nothing_to_keep, stop=stop, sent_at=_sent_at(record)
            )
        except LeaseBusyError:
            if int(record.attributes.approximate_receive_count) > 1:
                raise  # its owner may be dead: let the message come again


def _sent_at(record: SQSRecord) -> datetime:
    return datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC)


def _nothing_to_keep() -> None:
    """The queue's visibility covers the function's whole time-out."""
