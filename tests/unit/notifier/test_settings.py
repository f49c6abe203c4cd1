from typing import Any

import pytest
from pydantic import ValidationError

from whisperdrop_notifier.settings import NotifierSettings

NEEDED = {
    "bucket": "media",
    "interactive_queue_url": "none",
    "bulk_queue_url": "none",
    "notify_queue_url": "notify",
}


def settings(**fields: Any) -> NotifierSettings:
    return NotifierSettings.model_validate(NEEDED | fields)


def test_lists_are_comma_separated() -> None:
    found = settings(
        webhook_retry_seconds="1, 2.5,300",
        webhook_ports="443,9000",
        webhook_allowed_networks="10.0.0.0/8, ::1/128",
    )
    assert found.webhook_retry_seconds == (1, 2.5, 300)
    assert found.webhook_rules.ports == (443, 9000)
    assert [str(n) for n in found.webhook_rules.allowed_networks] == ["10.0.0.0/8", "::1/128"]


def test_any_port_can_be_allowed() -> None:
    assert settings(webhook_ports="any").webhook_rules.ports == ()


def test_nothing_near_us_may_be_reached_by_default() -> None:
    rules = settings().webhook_rules
    assert (rules.allowed_networks, rules.allow_http) == ((), False)
    assert rules.ports == (443, 8443)


@pytest.mark.parametrize(
    "fields",
    [
        {"notify_queue_url": None},
        {"notify_lease_seconds": 11},
        {"webhook_timeout_seconds": 29},
        {"webhook_retry_seconds": "5,-1"},
        {"webhook_allowed_networks": "somewhere"},
        {"webhook_allowed_networks": "10.0.0.1/8"},
    ],
)
def test_settings_that_would_break_a_promise_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**fields)
