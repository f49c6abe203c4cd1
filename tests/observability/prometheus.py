"""A real Prometheus beside the running stack, with the configuration that compose has."""

import contextlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.lanes import lane
from tests.processes import free_port, running, wait_until

VARIABLES = {"$__rate_interval": "20s", "$__range": "2m", "$__interval": "5s"}


def program(name: str) -> str:
    """``prometheus`` or ``promtool``."""
    found = shutil.which(name)
    lane("prometheus", found, f"{name} is not installed (Debian's package is prometheus)")
    return str(found)


@dataclass(frozen=True)
class Prometheus:
    """Where it answers."""

    address: str

    def get(self, path: str, **params: str) -> Any:
        answer = requests.get(f"{self.address}/api/v1/{path}", params=params, timeout=10).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, query: str) -> list[float]:
        """Finite values of an instant query, which is written as in a dashboard."""
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        found = self.get("query", query=query)["result"]
        values = [float(one["value"][1]) for one in found]
        return [value for value in values if math.isfinite(value)]

    def healthy_targets(self) -> set[str]:
        active = self.get("targets", state="active")["activeTargets"]
        return {target["labels"]["job"] for target in active if target["health"] == "up"}


def panel_queries(folder: Path) -> Iterator[tuple[str, str]]:
    """Every query of every dashboard, with the names of both."""
    for path in sorted(folder.glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.stem}: {panel['title']} {target['refId']}", target["expr"]


@contextlib.contextmanager
def prometheus(
    project_root: Path, directory: Path, targets: Mapping[str, int]
) -> Iterator[Prometheus]:
    """Compose's Prometheus for ports of this machine: each second, and nothing else is changed."""
    executable = program("prometheus")
    folder = project_root / "docker" / "prometheus"
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(folder / name) for name in config["rule_files"]]
    config["scrape_configs"] = [
        {
            **{key: value for key, value in scrape.items() if key != "dns_sd_configs"},
            "static_configs": [{"targets": [f"127.0.0.1:{targets[scrape['job_name']]}"]}],
        }
        for scrape in config["scrape_configs"]
        if scrape["job_name"] in targets
    ]
    directory.mkdir(parents=True, exist_ok=True)
    file, log = directory / "prometheus.yml", directory / "prometheus.log"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    found = Prometheus(f"http://127.0.0.1:{port}")
    command = [
        executable,
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, environ=dict(os.environ), cwd=directory, log=log) as process:
        wait_until(lambda: _ready(found), process, log=log)
        yield found


def _ready(found: Prometheus) -> bool:
    try:
        return requests.get(f"{found.address}/-/ready", timeout=2).ok
    except requests.RequestException:
        return False


def rate_windows(query: str) -> list[str]:
    """Ranges that a query looks back over."""
    return re.findall(r"\[([^\]]+)\]", query)
