"""Structured logs: events with fields, one JSON line each, on standard output."""

from aws_lambda_powertools import Logger

from whisperdrop.settings import CoreSettings

__all__ = ["Logger", "configure"]


def configure(logger: Logger, settings: CoreSettings) -> None:
    """Give ``logger`` the level of the settings; called once by a composition root."""
    logger.setLevel(settings.log_level)
