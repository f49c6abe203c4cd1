"""Real processes of the fleet over the emulator: a worker that goes by itself, and the dispatcher
that starts the next one.
"""

import http.server
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.builders import TENANT, a_request, stored_job
from tests.emulator import Emulator
from tests.processes import running, wait_until
from tests.recordings import bundled
from whisperdrop.adapters.aws import s3_client
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.domain import keys
from whisperdrop.domain.backlog import Load
from whisperdrop.domain.events import direct_message
from whisperdrop.domain.ids import JobRef, new_job_id
from whisperdrop.domain.job import JobStatus, Outcome, WorkerReport
from whisperdrop.service.documents import dump, read
from whisperdrop.service.requests import mark_pending

pytestmark = pytest.mark.emulator


@dataclass
class Place:
    """A bucket and two queues of this test's own."""

    environ: dict[str, str]
    store: S3ObjectStore
    sqs: Any
    ecs: Any
    cwd: Path
    cluster: str
    told: list[str] = field(default_factory=list)

    def job(self, **fields: Any) -> JobRef:
        now = datetime.now(UTC)
        ref = JobRef(TENANT, new_job_id(now))
        request = a_request(
            ref,
            created_at=now,
            upload_expires_at=now + timedelta(hours=1),
            media_key=keys.media(ref, "speech.wav"),
            name="speech.wav",
            content_type="audio/wav",
        )
        stored_job(self.store, request, **fields)
        return ref

    def dispatch(self) -> dict[str, Any]:
        """``python -m whisperdrop_dispatcher once``, and what it logged of the fleet."""
        done = subprocess.run(
            [sys.executable, "-m", "whisperdrop_dispatcher", "once"],
            env=self.environ,
            cwd=self.cwd,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        found = [line for line in lines if line["message"] == "fleet"]
        return found[0] if found else {}

    def tasks(self) -> list[str]:
        arns: list[str] = self.ecs.list_tasks(cluster=self.cluster)["taskArns"]
        return arns


@pytest.fixture
def place(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    for name, value in emulator.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session())
    name = f"fleet-{secrets.token_hex(6)}"
    client = s3_client(addressing_style="path")
    client.create_bucket(Bucket=name)
    sqs, ecs = boto3.client("sqs"), boto3.client("ecs")
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "WHISPER_", "FLEET_"))
    }
    environ |= emulator.environ | {
        "BUCKET": name,
        "S3_ADDRESSING_STYLE": "path",
        "INTERACTIVE_QUEUE_URL": sqs.create_queue(QueueName=f"{name}-i")["QueueUrl"],
        "BULK_QUEUE_URL": sqs.create_queue(QueueName=f"{name}-b")["QueueUrl"],
    }
    return Place(environ, S3ObjectStore(client, name), sqs, ecs, tmp_path, name)


@pytest.fixture
def agent() -> Iterator[str]:
    """The agent of ECS beside a task, as far as a worker asks it."""

    class Agent(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"TaskARN": "arn:task/7"}).encode()
            self.send_response(200 if self.path == "/v4/abc/task" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Agent) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v4/abc"
        server.shutdown()
        thread.join(5)


@pytest.mark.speech
def test_a_worker_that_is_idle_does_its_work_says_that_it_goes_and_goes(
    place: Place, agent: str, tmp_path: Path
) -> None:
    ref = place.job(media=bundled().media.read_bytes())
    place.sqs.send_message(
        QueueUrl=place.environ["BULK_QUEUE_URL"], MessageBody=direct_message(ref)
    )
    environ = place.environ | {
        "QUEUES": "bulk",
        "IDLE_EXIT_SECONDS": "1",
        "RECEIVE_WAIT_SECONDS": "1",
        "WORKER_ID": "w7",
        "ECS_CONTAINER_METADATA_URI_V4": agent,
    }
    # What the interactive queue has is other workers' work, and keeps this one from nothing.
    other = direct_message(place.job())
    place.sqs.send_message(QueueUrl=place.environ["INTERACTIVE_QUEUE_URL"], MessageBody=other)
    log = tmp_path / "worker.log"
    command = [sys.executable, "-m", "whisperdrop_worker", "serve"]
    with running(command, environ=environ, cwd=tmp_path, log=log) as worker:
        assert worker.wait(60) == 0, log.read_text()
    outcome = read(place.store, Outcome, keys.outcome(ref))
    assert outcome is not None
    assert outcome.status is JobStatus.SUCCEEDED
    report = read(place.store, WorkerReport, keys.worker("w7"))
    assert report is not None
    assert (report.draining, report.task, report.jobs) == (True, "arn:task/7", 0)
    waiting = place.sqs.get_queue_attributes(
        QueueUrl=place.environ["INTERACTIVE_QUEUE_URL"],
        AttributeNames=["ApproximateNumberOfMessages"],
    )
    assert waiting["Attributes"]["ApproximateNumberOfMessages"] == "1"


def test_a_worker_whose_last_look_could_miss_a_message_does_not_start(place: Place) -> None:
    environ = place.environ | {"IDLE_EXIT_SECONDS": "1", "RECEIVE_WAIT_SECONDS": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "whisperdrop_worker", "serve"],
        env=environ,
        cwd=place.cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "RECEIVE_WAIT_SECONDS" in done.stderr


def test_the_dispatcher_starts_who_is_missing_and_nobody_else(place: Place, tmp_path: Path) -> None:
    place.ecs.create_cluster(clusterName=place.cluster)
    place.ecs.register_task_definition(
        family=place.cluster,
        containerDefinitions=[{"name": "worker", "image": "worker:none", "memory": 512}],
    )
    place.environ |= {
        "FLEET_CLUSTER": place.cluster,
        "FLEET_TASK_DEFINITION": place.cluster,
        "FLEET_CAPACITY_PROVIDERS": "FARGATE_SPOT,FARGATE",
        "FLEET_MAX_WORKERS": "3",
    }
    ref = place.job()
    mark_pending(place.store, ref, load=Load(600))
    told = place.dispatch()
    assert (told["wanted"], told["started"]) == (1, 1)
    assert len(place.tasks()) == 1
    [task] = place.tasks()
    report = WorkerReport(
        worker_id="w", models=(), jobs=0, seen_at=datetime.now(UTC), draining=True, task=task
    )
    place.store.put(keys.worker("w"), dump(report))
    told = place.dispatch()
    assert (told["draining"], told["started"]) == (1, 1)
    assert len(place.tasks()) == 2
    # As a process, it looks again and again until it is told to stop.
    log = tmp_path / "dispatcher.log"
    environ = place.environ | {"FLEET_INTERVAL_SECONDS": "0.2"}
    command = [sys.executable, "-m", "whisperdrop_dispatcher", "--queues-are-new"]
    for _ in range(20):
        mark_pending(place.store, place.job(media=b"x"), load=Load(7200))
    with running(command, environ=environ, cwd=tmp_path, log=log) as dispatcher:
        wait_until(lambda: log.read_text().count('"fleet"') >= 3, dispatcher, log=log)
        dispatcher.terminate()
        assert dispatcher.wait(30) == 0
    assert len(place.tasks()) == 3
