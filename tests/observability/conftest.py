"""One service that is watched: its metrics by Prometheus, its traces by a collector."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.running import RunningStack, stack_on_free_ports
from tests.observability.collector import Collector, collector
from tests.observability.prometheus import Prometheus, prometheus
from tests.receivers import Receiver, receiver
from tests.recordings import bundled

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
"""The trace of whoever sends the walked request."""


PROCESSES = {"api", "worker", "sweep", "notifier"}


@dataclass(frozen=True)
class Walk:
    """One job by presigned upload, with a webhook, followed through all of it."""

    correlation_id: str
    job_id: str


@dataclass(frozen=True)
class Watched:
    """Everything around a running service."""

    stack: RunningStack
    client: Client
    receiver: Receiver
    collector: Collector
    prometheus: Prometheus
    walk: Walk


@pytest.fixture(scope="session")
def watched(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The service after jobs by every door, one of which has failed, and with a webhook told."""
    directory = tmp_path_factory.mktemp("watched")
    with collector() as traces, receiver(None) as hooks:
        environment = {
            "ENABLE_TRACING": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": traces.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "WEBHOOK_PORTS": "any",
            "WEBHOOK_ALLOW_HTTP": "true",
        }
        with stack_on_free_ports(
            project_root, directory, environment, sweep_interval_seconds=1
        ) as stack:
            deadline = time.monotonic() + 20
            while not (ports := stack.stack.metrics_ports).keys() >= PROCESSES:
                assert time.monotonic() < deadline, ports
                time.sleep(0.05)
            with prometheus(project_root, directory / "prometheus", ports) as scraper:
                deadline = time.monotonic() + 20
                while scraper.healthy_targets() != PROCESSES:
                    assert time.monotonic() < deadline, scraper.get("targets", state="active")
                    time.sleep(0.1)
                client = Client(stack.address, stack.api_key)
                walk = _walk(client, hooks)
                _use_every_door(stack, client, directory)
                yield Watched(stack, client, hooks, traces, scraper, walk)


def _walk(client: Client, hooks: Receiver) -> Walk:
    media = bundled().media
    correlation_id = "walk-7f3a9c"
    client.session.headers["x-request-id"] = correlation_id
    client.session.headers["traceparent"] = f"00-{TRACE}-00f067aa0ba902b7-01"
    url = hooks.url().replace("https:", "http:")
    client.session.put(
        f"{client.address}/v1/webhook", json={"url": url}, timeout=10
    ).raise_for_status()
    created = client.create(media)
    for name in ("x-request-id", "traceparent"):
        del client.session.headers[name]
    assert client.put(created, media).ok
    assert client.ended(created["job_id"])["status"] == "succeeded"
    hooks.wait_for(1)
    return Walk(correlation_id, created["job_id"])


def _use_every_door(stack: RunningStack, client: Client, directory: Path) -> None:
    media = bundled().media
    garbage = directory / "garbage.mp3"
    garbage.write_bytes(b"no audio at all " * 100)
    assert client.ended(client.submit(garbage))["status"] == "failed"
    stack.s3.put_object(Bucket=stack.bucket, Key="inbox/default/a.wav", Body=media.read_bytes())
    for path, fields in (
        ("/transcribe/tiny.en", {}),
        ("/v1/audio/transcriptions", {"model": "whisper-1"}),
    ):
        with media.open("rb") as file:
            answer = client.post(path, files={"file": (media.name, file)}, data=fields)
        assert answer.ok, answer.text
