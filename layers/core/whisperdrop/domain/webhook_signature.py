"""Signatures of Standard Webhooks, version 1: HMAC-SHA256 over id, time and body.

Reference: github.com/standard-webhooks/standard-webhooks, "Specification", symmetric signatures.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime

from whisperdrop.errors import InvalidValueError

PREFIX = "whsec_"
_NEW_BYTES = 32
_MIN_BYTES = 24  # both bounds are the specification's
_MAX_BYTES = 64


def new_secret(randomness: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A fresh secret of 256 random bits."""
    return PREFIX + base64.b64encode(randomness(_NEW_BYTES)).decode()


def check_secret(secret: str) -> str:
    """``secret`` as it is. Raises InvalidValueError for what no verifier would take."""
    try:
        key = _key(secret)
    except (ValueError, binascii.Error):
        key = b""
    if not secret.startswith(PREFIX) or not _MIN_BYTES <= len(key) <= _MAX_BYTES:
        raise InvalidValueError(
            f"secret: send '{PREFIX}' and {_MIN_BYTES} to {_MAX_BYTES} random bytes in base64, "
            "or leave it out to have one made"
        )
    return secret


def headers(webhook_id: str, sent_at: datetime, body: bytes, keys: Iterable[str]) -> dict[str, str]:
    """What proves to the receiver who sent ``body`` and when; one signature for each secret."""
    timestamp = str(int(sent_at.timestamp()))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.digest(_key(key), signed, hashlib.sha256)).decode()
        for key in keys
    ]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
