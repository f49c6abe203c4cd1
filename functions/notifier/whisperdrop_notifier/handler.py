"""The notifier as a Lambda function that its queue feeds; partial failures are reported.

The messages of a batch are handled side by side: each waits on somebody else's server, and none
waits for a slow one. A message that is reported as failed comes back when its visibility ends.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSEvent, SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from whisperdrop.domain.events import MalformedEventError
from whisperdrop.domain.webhook import Delivery
from whisperdrop.errors import StoreError
from whisperdrop.observability.emf import NAMESPACE, EmfSink
from whisperdrop.observability.metrics import use
from whisperdrop.service.delivery import BeingDeliveredError
from whisperdrop_notifier.composition import Process, build, logger
from whisperdrop_notifier.notices import handle
from whisperdrop_notifier.settings import NotifierSettings

metrics = Metrics(namespace=NAMESPACE, service="notifier")
_sink = EmfSink(metrics)


@functools.cache
def _process() -> Process:
    return build(NotifierSettings())  # built at the first event: nothing happens at import


@metrics.log_metrics
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    """Handle a batch of SQS records."""
    use(_sink)
    records = list(SQSEvent(event).records)
    process = _process()
    with ThreadPoolExecutor(max(1, len(records))) as side_by_side:
        handled = [side_by_side.submit(_handle, process, record) for record in records]
    failed = []
    for record, done in zip(records, handled, strict=True):
        if (bug := done.exception()) is not None:
            logger.error("message_failed", exc_info=bug)
        deliveries = None if bug else done.result()
        if deliveries is None:
            failed.append({"itemIdentifier": record.message_id})
    return {"batchItemFailures": failed}


def _handle(process: Process, record: SQSRecord) -> list[Delivery] | None:
    """The attempts that came of a record; None when it has to come again."""
    receives = int(record.attributes.approximate_receive_count)
    try:
        return handle(
            process.notifier, record.body, bucket=process.settings.bucket, receives=receives
        )
    except MalformedEventError as error:
        logger.error("malformed_event", extra={"error": str(error)})
    except (BeingDeliveredError, StoreError) as error:
        logger.warning("comes_again", extra={"error": str(error)})
    return None
