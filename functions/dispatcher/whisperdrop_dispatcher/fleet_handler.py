"""The dispatcher of workers as a Lambda function.

Events of the bucket (through EventBridge), of ECS, and of a schedule all mean the same: look. They
come several times, late, or never; the schedule makes up for that.
"""

import functools
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from whisperdrop.domain import keys
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.keys import Drop, parse_media_key
from whisperdrop.errors import StoreError
from whisperdrop.observability.emf import NAMESPACE, EmfSink
from whisperdrop.observability.metrics import use
from whisperdrop.service.dispatch import Dispatcher
from whisperdrop_dispatcher.composition import build_dispatcher, log_dispatch, logger
from whisperdrop_dispatcher.settings import FleetSettings

metrics = Metrics(namespace=NAMESPACE, service="dispatcher")
_sink = EmfSink(metrics)

_CREATED = "Object Created"


@functools.cache
def _dispatcher() -> Dispatcher | None:
    return build_dispatcher(FleetSettings())  # built at the first event: nothing happens at import


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """One look."""
    use(_sink)
    dispatcher = _dispatcher()
    if dispatcher is None:
        logger.warning("no_fleet", extra={"hint": "FLEET_CLUSTER names no cluster"})
        return {}
    if _key(event) == keys.FLEET_STATE:  # written by a look: it must not lead to the next one
        return {}
    arrived, size = _arrived(event)
    if isinstance(arrived, JobRef):
        try:
            dispatcher.arrived(arrived, _key(event), size)
        except StoreError as error:  # a look finds it too, sooner or later
            logger.warning("arrival_not_noted", extra={"error": str(error)})
    report = dispatcher.wake(
        arriving=int(isinstance(arrived, Drop)),
        # Objects come in crowds. Any other event may say that a worker is gone.
        always=event.get("detail-type") != _CREATED,
    )
    log_dispatch(report)
    if not report.skipped:
        metrics.flush_metrics()
    return {
        "wanted": report.wanted,
        "running": report.workers.running,
        "starting": report.workers.starting,
        "started": report.started,
        "skipped": int(report.skipped),
    }


def _key(event: dict[str, Any]) -> str:
    return str(_object(event).get("key", ""))


def _object(event: dict[str, Any]) -> dict[str, Any]:
    """The object that the event is about, or nothing: what is no event of a bucket has none."""
    detail = event.get("detail")
    found = detail.get("object") if isinstance(detail, dict) else None
    return found if isinstance(found, dict) else {}


def _arrived(event: dict[str, Any]) -> tuple[JobRef | Drop | None, int]:
    """What came into the bucket, and how large it is. EventBridge does not encode keys."""
    size = _object(event).get("size", 0)
    return parse_media_key(_key(event)), size if isinstance(size, int) else 0
