"""Webhooks from the real stack to a real TLS server, verified by other people's code."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from standardwebhooks import Webhook

from tests.e2e.client import TIMEOUT_S, Client
from tests.e2e.running import RunningStack, stack_on_free_ports
from tests.receivers import (
    ELSEWHERE,
    Authority,
    Received,
    Receiver,
    answer,
    hold,
    make_authority,
    receiver,
)
from tests.recordings import bundled

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

SETTINGS = {
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    "WEBHOOK_PORTS": "any",
    "WEBHOOK_TIMEOUT_SECONDS": "4",
    "NOTIFY_LEASE_SECONDS": "6",
    "WEBHOOK_RETRY_SECONDS": "0.2,0.5,1,1,1",
    # Fewer in all than wait for the slow target, so that its share is what leaves room.
    "NOTIFY_SLOTS": "6",
    "NOTIFY_SLOTS_PER_HOST": "3",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own_stack(
    project_root: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """A stack that may send to this machine, and that tries again soon."""
    environment = SETTINGS | {"WEBHOOK_CA_FILE": str(authority.ca_file)}
    directory = tmp_path_factory.mktemp("webhook-stack")
    with stack_on_free_ports(
        project_root, directory, environment, sweep_interval_seconds=1
    ) as running:
        yield running


@pytest.fixture
def stack(own_stack: RunningStack) -> RunningStack:
    own_stack.revive()
    return own_stack


@pytest.fixture
def server(authority: Authority) -> Iterator[Receiver]:
    with receiver(authority) as running:
        yield running


@pytest.fixture
def client(stack: RunningStack) -> Client:
    return Client(stack.address, stack.api_key)


def secret_of(client: Client) -> str:
    return str(client.get("/v1/webhook").json()["secret"])


def verified(request: Received, secret: str) -> dict[str, Any]:
    """The event, as both verifiers find it genuine."""
    Webhook(secret).verify(request.body, request.headers)
    sdk = openai.OpenAI(api_key="none", webhook_secret=secret)
    sdk.webhooks.verify_signature(request.body, request.headers)
    event: dict[str, Any] = json.loads(request.body)
    unwrapped = sdk.webhooks.unwrap(request.body, request.headers)
    assert unwrapped.type == event["type"]
    return event


def deliveries(client: Client, job_id: str) -> dict[str, Any]:
    answered = client.get(f"/v1/jobs/{job_id}/deliveries")
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


def settled(client: Client, job_id: str) -> dict[str, Any]:
    """The log, as soon as there is nothing more to do."""
    deadline = time.monotonic() + 30
    while (found := deliveries(client, job_id))["state"] in {None, "waiting"}:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_the_end_of_a_job_is_told_signed_and_once(
    client: Client, stack: RunningStack, server: Receiver
) -> None:
    job_id = client.submit(bundled().media, webhook_url=server.url(), metadata={"case": "42"})
    job = client.ended(job_id)
    [request] = server.wait_for(1)

    event = verified(request, secret_of(client))
    assert event["type"] == "job.succeeded"
    assert event["data"] == client.job(job_id) == job
    assert event["data"]["metadata"] == {"case": "42"}
    assert request.headers["webhook-id"] == f"job_{job_id}"
    assert request.headers["content-type"] == "application/json"

    log = settled(client, job_id)
    assert log["state"] == "delivered"
    [entry] = log["data"]
    assert (entry["attempt"], entry["status"], entry["delivered"]) == (1, 200, True)
    assert (entry["id"], entry["url"]) == (f"job_{job_id}", server.url())


def test_a_target_that_fails_is_tried_again_and_knows_the_repetition_by_its_id(
    client: Client, server: Receiver
) -> None:
    server.script = [answer(500), answer(503, Retry_After="1")]
    job_id = client.submit(bundled().media, webhook_url=server.url())

    first, second, third = server.wait_for(3)

    assert len({request.headers["webhook-id"] for request in (first, second, third)}) == 1
    assert first.body == second.body == third.body
    assert third.at - second.at >= 0.9, "the target had asked for a second"
    for request in (first, second, third):
        verified(request, secret_of(client))
    log = settled(client, job_id)["data"]
    assert [entry["status"] for entry in log] == [500, 503, 200]
    assert [entry["delivered"] for entry in log] == [False, False, True]

    again = client.post(f"/v1/jobs/{job_id}/redeliver")
    assert again.status_code == 202, again.text
    *_, fourth = server.wait_for(4)
    assert (fourth.headers["webhook-id"], fourth.body) == (first.headers["webhook-id"], first.body)
    assert [entry["attempt"] for entry in settled(client, job_id)["data"]] == [1, 2, 3, 4]


def test_the_tenants_webhook_hears_of_jobs_without_their_own(
    client: Client, stack: RunningStack, server: Receiver
) -> None:
    put = client.session.put(
        stack.address + "/v1/webhook", json={"url": server.url("/all")}, timeout=TIMEOUT_S
    )
    assert put.status_code == 200, put.text
    try:
        tried = client.post("/v1/webhook/test").json()
        assert (tried["delivered"], tried["status"]) == (True, 200)
        assert verified(server.wait_for(1)[0], secret_of(client))["type"] == "webhook.test"

        sample = bundled("hello_world")
        stack.s3.upload_file(str(sample.media), stack.bucket, "inbox/default/told.mp3")
        dropped = verified(server.wait_for(2)[1], secret_of(client))
        cancelled = str(client.create(sample.media)["job_id"])
        client.post(f"/v1/jobs/{cancelled}/cancel")
        ended = verified(server.wait_for(3)[2], secret_of(client))
    finally:
        client.session.delete(stack.address + "/v1/webhook", timeout=TIMEOUT_S)

    assert (dropped["type"], dropped["data"]["name"]) == ("job.succeeded", "told.mp3")
    assert (ended["type"], ended["data"]["job_id"]) == ("job.cancelled", cancelled)
    assert client.get("/v1/webhook").json()["url"] is None


def test_a_notifier_that_is_killed_in_mid_delivery_loses_nothing(
    client: Client, stack: RunningStack, server: Receiver
) -> None:
    released = threading.Event()
    server.script = [hold(released)]
    job_id = client.submit(bundled().media, webhook_url=server.url())
    server.wait_for(1)

    stack.kill("notifier")
    released.set()
    stack.revive()

    _, again = server.wait_for(2)
    verified(again, secret_of(client))
    log = settled(client, job_id)
    assert log["state"] == "delivered"
    assert [entry["attempt"] for entry in log["data"]] == [2], "the first one wrote nothing down"


def test_a_queue_that_forgets_everything_loses_nothing(
    client: Client, stack: RunningStack, server: Receiver
) -> None:
    stack.kill("notifier")
    job_id = client.submit(bundled().media, webhook_url=server.url())
    client.ended(job_id)
    assert stack.stack.storage is not None
    [marker] = [key for key in stack.keys("notifications/") if job_id in key]
    stack.sqs.purge_queue(QueueUrl=stack.stack.storage.notify_queue_url)

    # The sweep of a start, when the queues are new.
    stack.kill("sweep")
    stack.revive()

    verified(server.wait_for(1)[0], secret_of(client))
    assert settled(client, job_id)["state"] == "delivered"
    assert marker not in stack.keys("notifications/")


def test_a_slow_target_holds_nobody_up(
    client: Client, stack: RunningStack, server: Receiver, authority: Authority
) -> None:
    released = threading.Event()
    with receiver(authority, ELSEWHERE) as slow:
        slow.otherwise = hold(released)
        sample = bundled("hello_world").media
        for _ in range(12):  # twice what the notifier does at once
            created = client.create(sample, webhook_url=slow.url())
            client.post(f"/v1/jobs/{created['job_id']}/cancel")
        slow.wait_for(3)

        quick = str(client.create(sample, webhook_url=server.url())["job_id"])
        began = time.monotonic()
        client.post(f"/v1/jobs/{quick}/cancel")
        server.wait_for(1)
        took_s = time.monotonic() - began

        assert took_s < 3, "less than one time-out of the slow one"
        assert len(slow.requests) <= 6, "three at a time, each for four seconds"
        released.set()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "https://10.0.0.1/hook",
        "https://[::1]/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://[fe80::1]/hook",
        "https://169.254.169.254/latest/meta-data/",
        "https://user:password@example.com/hook",
    ],
)
def test_a_private_target_is_refused_at_once(url: str, client: Client, stack: RunningStack) -> None:
    put: requests.Response = client.session.put(
        stack.address + "/v1/webhook", json={"url": url}, timeout=TIMEOUT_S
    )
    assert (put.status_code, put.json()["code"]) == (422, "webhook_refused")
    job = client.post("/v1/jobs", json={"filename": "a.mp3", "size": 1, "webhook_url": url})
    assert (job.status_code, job.json()["code"]) == (422, "webhook_refused")
