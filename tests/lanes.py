"""Lanes: tests that need something which a machine may lack.

A lane that is not available is skipped with its reason. Where WHISPERDROP_REQUIRE_LANES names it
(comma-separated), it fails instead: a machine that can run a lane must not pass without it.
"""

import os

import pytest

REQUIRED = "WHISPERDROP_REQUIRE_LANES"

LANES = {
    "advisories": "a service that knows the faults of packages",
    "browser": "the page in a headless Chromium",
    "checks": "checkov, pip-audit and detect-secrets",
    "docker": "the images, in a Docker Engine",
    "emulator": "the ministack emulator",
    "gitleaks": "gitleaks",
    "sam": "the SAM CLI",
    "shared": "the folder of recordings",
    "speech": "the real model on real speech",
    "curl": "curl, bash and jq, for the shell in README and docs",
    "node": "Node.js with OpenAI's client for it",
    "prometheus": "a real Prometheus, and promtool",
    "awscli": "the AWS CLI, for the shell in the runbook",
    "netns": "a network namespace of its own (unshare, ip)",
    "rie": "the Lambda runtime interface emulator",
}


def required_lanes() -> frozenset[str]:
    """Lanes that may not be skipped here. Raises ValueError for a name that is no lane."""
    named = {part.strip() for part in os.environ.get(REQUIRED, "").split(",")} - {""}
    if unknown := named - LANES.keys():
        raise ValueError(f"{REQUIRED} names no lane: {', '.join(sorted(unknown))}")
    return frozenset(named)


def lane(name: str, available: object, reason: str) -> None:
    """Go on if ``available`` is true; otherwise skip with ``reason``, or fail if required."""
    if name not in LANES:
        raise ValueError(f"{name!r} is no lane")
    if available:
        return
    if name in required_lanes():
        pytest.fail(f"the lane {name!r} ({LANES[name]}) is required here, but {reason}")
    pytest.skip(f"{name}: {reason}")
