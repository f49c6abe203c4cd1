"""Unit tests reach no network and see nothing of the machine's AWS configuration."""

import os
from collections.abc import Iterator

import pytest
from pytest_socket import disable_socket, enable_socket

_OURS = (
    *("BUCKET", "INTERACTIVE_QUEUE_URL", "BULK_QUEUE_URL", "NOTIFY_QUEUE_URL"),
    *("API_KEY", "ALLOWED_MODELS"),
)


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """Sockets are banned; pairs of Unix sockets stay, event loops and fork servers need them."""
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "WHISPER_", "POWERTOOLS_", "S3_", "WEBHOOK_")) or name in _OURS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
