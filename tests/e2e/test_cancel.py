"""A job that its owner does not want any more, through the whole service."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.e2e.running import RunningStack
from tests.recordings import bundled, long_recording

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

SOON_S = 60
LONG_S = 300  # of audio: far more work than it takes to notice


def _cancel(client: Client, job_id: str) -> dict[str, Any]:
    answer = client.post(f"/v1/jobs/{job_id}/cancel")
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def _until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SOON_S
    while not (found := condition()):
        assert time.monotonic() < deadline
    return found


def _left_behind(stack: RunningStack, job_id: str) -> list[str]:
    prefixes = ("results/", "usage/", "pending/")
    return [key for prefix in prefixes for key in stack.keys(prefix) if job_id in key]


def test_a_running_job_that_is_cancelled_stops_soon_and_costs_nothing(
    client: Client, stack: RunningStack, tmp_path: Path
) -> None:
    job_id = client.submit(long_recording(tmp_path / "long.wav", seconds=LONG_S))
    client.running(job_id)

    asked = _cancel(client, job_id)
    job = client.ended(job_id, timeout_s=SOON_S)

    assert (asked["status"], asked["cancel_requested"]) == ("running", True)
    assert job["status"] == "cancelled"
    assert job["error"]["code"] == "cancelled"
    assert "usage" not in job
    assert "cancel_requested" not in job
    assert client.get(f"/results/{job_id}").status_code == 410
    _until(lambda: stack.events("worker", "job_ended", job_id))
    assert _left_behind(stack, job_id) == []
    assert _cancel(client, job_id) == job


def test_a_job_that_waits_for_its_upload_is_cancelled_at_once_and_never_begins(
    client: Client, stack: RunningStack
) -> None:
    media = bundled("hello_world").media
    created = client.create(media)
    job_id = created["job_id"]

    job = _cancel(client, job_id)
    assert job["status"] == "cancelled"
    assert client.put(created, media).ok, "the address was given before"
    later = client.submit(media)

    assert client.ended(later)["status"] == "succeeded"
    assert client.job(job_id) == job
    assert stack.events("worker", "job_started", job_id) == []
    assert _left_behind(stack, job_id) == []


def test_whoever_waits_for_a_job_that_is_cancelled_is_told_so(
    client: Client, stack: RunningStack, tmp_path: Path
) -> None:
    media = long_recording(tmp_path / "long.wav", seconds=150)
    known = set(stack.keys("pending/default/"))

    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(Client(client.address, client.key).transcribe, media)
        [marker] = _until(lambda: set(stack.keys("pending/default/")) - known)
        job_id = marker.rpartition("/")[2]
        client.running(job_id)
        _cancel(client, job_id)
        answer = waiting.result(2 * SOON_S)

    assert answer.status_code == 410, answer.text
    assert answer.json() == {"detail": "the job was cancelled", "code": "cancelled"}


def test_a_job_that_has_ended_cannot_be_cancelled_any_more(client: Client) -> None:
    job_id = client.submit(bundled("hello_world").media)
    job = client.ended(job_id)

    assert _cancel(client, job_id) == job
    assert client.text(job_id)
