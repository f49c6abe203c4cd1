"""The API as a Lambda function behind API Gateway (HTTP API, payload 2.0) or a function URL."""

from whisperdrop_api import quick_start  # isort: split

import functools
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.logging import correlation_paths
from mangum import Mangum
from mangum.types import LambdaContext

from whisperdrop.observability.emf import NAMESPACE, EmfSink
from whisperdrop.observability.metrics import use
from whisperdrop_api.app import create_app
from whisperdrop_api.composition import build, logger
from whisperdrop_api.settings import ApiSettings

metrics = Metrics(namespace=NAMESPACE, service="api")
_sink = EmfSink(metrics)


@functools.cache
def _gateway() -> Mangum:
    return Mangum(create_app(build(ApiSettings())), lifespan="off")  # at the first event


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context(
    correlation_id_path=correlation_paths.API_GATEWAY_HTTP, clear_state=True
)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One HTTP request."""
    use(_sink)
    return _gateway()(event, context)


quick_start.imported()
