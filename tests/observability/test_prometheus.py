"""A real Prometheus beside the real service: what it scrapes, and what the dashboards get of it."""

import time
from pathlib import Path

import pytest
import requests

from tests.observability.conftest import Watched
from tests.observability.prometheus import panel_queries

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

_ENOUGH_S = 30.0


def test_every_process_of_the_running_stack_is_scraped(watched: Watched) -> None:
    assert watched.prometheus.healthy_targets() == {"api", "worker", "sweep", "notifier"}


def test_the_query_of_every_panel_returns_data(watched: Watched, project_root: Path) -> None:
    empty = dict(panel_queries(project_root / "docker" / "grafana" / "dashboards"))
    assert len(empty) > 50
    deadline = time.monotonic() + _ENOUGH_S
    while empty and time.monotonic() < deadline:
        # A latency needs requests between two scrapes.
        watched.client.get("/v1/models").raise_for_status()
        for panel, query in list(empty.items()):
            if watched.prometheus.values(query):
                del empty[panel]
    assert empty == {}


def test_every_rule_is_evaluated_without_an_error(watched: Watched) -> None:
    groups = watched.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 15
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    firing = watched.prometheus.get("alerts")["alerts"]
    assert [alert for alert in firing if alert["state"] == "firing"] == []


def test_what_was_done_is_what_is_counted(watched: Watched) -> None:
    def value(query: str) -> float:
        return sum(watched.prometheus.values(query))

    exact = {
        'whisperdrop_jobs_total{status="failed"}': 1,
        'whisperdrop_job_failures_total{code="undecodable_media"}': 1,
        'whisperdrop_jobs_total{source="upload", status="succeeded"}': 1,
        'whisperdrop_jobs_total{source="sync", status="succeeded"}': 2,
        'whisperdrop_queue_wait_seconds_count{queue="interactive"}': 2,
        'whisperdrop_fleet_workers{state="running"}': 1,
        'whisperdrop_http_requests_total{route="/transcribe/{model}", status="200"}': 1,
    }
    deadline = time.monotonic() + _ENOUGH_S
    # The last of it may have been done after the last scrape.
    while (seen := {query: value(query) for query in exact}) != exact:
        assert time.monotonic() < deadline, seen
        watched.client.get("/v1/models").raise_for_status()
    assert value('whisperdrop_queue_wait_seconds_sum{queue="interactive"}') < 30
    assert value("whisperdrop_audio_seconds_total") > 3 * 2.5
    assert value('whisperdrop_webhook_attempts_total{result="delivered"}') >= 1


def test_no_label_has_a_tenant_a_job_or_a_path(watched: Watched) -> None:
    stack = watched.stack
    unknown = f"/unknown/{watched.walk.job_id}"
    assert watched.client.get(unknown).status_code == 404
    for port in stack.stack.metrics_ports.values():
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        assert "# HELP" in text
        assert watched.walk.job_id not in text
        assert '"default"' not in text
        assert "/unknown" not in text
    assert 'route="unmatched"' in requests.get(f"{stack.address}/metrics", timeout=10).text


def test_scrapes_are_neither_logged_nor_documented(watched: Watched) -> None:
    assert "/metrics" not in {line.get("path") for line in watched.stack.log("api")}
    assert "/metrics" not in watched.client.get("/openapi.json").json()["paths"]
