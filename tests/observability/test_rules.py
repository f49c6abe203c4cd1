"""The configuration of Prometheus and Grafana, as files."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.prometheus import panel_queries, program
from whisperdrop.observability.catalogue import BY_SERVICE
from whisperdrop.observability.metrics import Kind
from whisperdrop_local.dashboards import rendered

OF_THE_PROCESS = {"up"}
"""And what begins with ``process_``: not ours."""


@pytest.fixture(scope="module")
def folder(project_root: Path) -> Path:
    return project_root / "docker" / "prometheus"


def rules(folder: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((folder / "rules" / "whisperdrop.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [program("promtool"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_configuration_and_rules(folder: Path) -> None:
    promtool(folder, "check", "config", "prometheus.yml")
    found = promtool(folder, "check", "rules", "rules/whisperdrop.yml")
    assert f"{len(rules(folder))} rules found" in found


def test_every_alert_fires_when_it_should_and_is_silent_when_all_is_well(folder: Path) -> None:
    assert "SUCCESS" in promtool(folder, "test", "rules", "rules_test.yml")
    tests = yaml.safe_load((folder / "rules_test.yml").read_text())["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test.get("alert_rule_test", ())
        if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in rules(folder) if "alert" in rule}


def test_every_alert_has_a_paragraph_that_says_what_to_do(folder: Path, project_root: Path) -> None:
    for rule in rules(folder):
        if "alert" not in rule:
            continue
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        headings = re.findall(r"^#+ (.+)$", (project_root / page).read_text(), re.MULTILINE)
        assert anchor in {heading.lower() for heading in headings}, rule["alert"]


def test_rules_and_panels_ask_for_metrics_that_there_are(folder: Path, project_root: Path) -> None:
    known = {rule["record"] for rule in rules(folder) if "record" in rule} | OF_THE_PROCESS
    for metrics in BY_SERVICE.values():
        for metric in metrics:
            histogram = metric.kind is Kind.HISTOGRAM
            ends = ("_bucket", "_sum", "_count") if histogram else ("",)
            known |= {metric.name + end for end in ends}
    panels = panel_queries(project_root / "docker" / "grafana" / "dashboards")
    queries = [query for _, query in panels] + [str(rule["expr"]) for rule in rules(folder)]
    asked = {name for query in queries for name in re.findall(r"whisperdrop[_:][\w:]+", query)}
    assert asked - known == set()
    assert len(asked) > 30


def test_the_dashboards_are_up_to_date(project_root: Path) -> None:
    folder = project_root / "docker" / "grafana" / "dashboards"
    found = {path.name: path.read_text() for path in folder.glob("*.json")}
    assert found == rendered(), "run `make docs`"


def test_grafana_finds_its_dashboards_and_their_source(project_root: Path) -> None:
    provisioning = project_root / "docker" / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    [provider] = yaml.safe_load((provisioning / "dashboards" / "whisperdrop.yml").read_text())[
        "providers"
    ]
    compose = yaml.safe_load((project_root / "docker" / "compose.yaml").read_text())
    mounts = [mount.split(":") for mount in compose["services"]["grafana"]["volumes"]]
    places = {inside[0]: outside for outside, *inside in mounts}
    assert places[provider["options"]["path"]] == "./grafana/dashboards"
    assert places["/etc/grafana/provisioning"] == "./grafana/provisioning"
    assert source["url"] == "http://prometheus:9090"
    scraped = yaml.safe_load((project_root / "docker/prometheus/prometheus.yml").read_text())
    names = {
        name for job in scraped["scrape_configs"] for name in job["dns_sd_configs"][0]["names"]
    }
    assert names <= compose["services"].keys()
