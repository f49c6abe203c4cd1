"""What a person sees of the processes: logs here, metrics and tracing beside it.

Structured logs: events with fields, one JSON line each, on standard output.
"""

import logging
import sys

from aws_lambda_powertools import Logger

from whisperdrop.observability import tracing
from whisperdrop.observability.context import AddContext, in_context, log_also, logged_with
from whisperdrop.settings import CoreSettings

__all__ = ["Logger", "configure", "in_context", "log_also", "log_to_stderr", "logged_with"]

_PACKAGES = ("whisperdrop", "whisperdrop_worker", "opentelemetry")
"""Modules that log without knowing of which process they are a part."""


def configure(logger: Logger, settings: CoreSettings) -> None:
    """Set up logs and tracing as the settings say; called once by a composition root.

    Whatever the process logs, by ``logger`` or by a module's own, leaves as JSON and with the
    fields of ``logged_with``.
    """
    logger.setLevel(settings.log_level)
    for handler in logger.handlers:
        if not any(isinstance(known, AddContext) for known in handler.filters):
            handler.addFilter(AddContext())
        for package in _PACKAGES:
            plain = logging.getLogger(package)
            plain.setLevel(settings.log_level)
            if handler not in plain.handlers:
                plain.addHandler(handler)
    if settings.enable_tracing:
        tracing.configure(logger.service)


def log_to_stderr(logger: Logger) -> None:
    """For a verb whose standard output is its result."""
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)
