"""Structured logs: events with fields, one JSON line each, on standard output."""

import logging
import sys

from aws_lambda_powertools import Logger

from whisperdrop.settings import CoreSettings

__all__ = ["Logger", "configure", "log_to_stderr"]


def configure(logger: Logger, settings: CoreSettings) -> None:
    """Give ``logger`` the level of the settings; called once by a composition root."""
    logger.setLevel(settings.log_level)


def log_to_stderr(logger: Logger) -> None:
    """For a verb whose standard output is its result."""
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)
