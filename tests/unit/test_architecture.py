import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import RULES, SOURCES, Module, modules, rule_for, violations

FREE = ("whisperdrop.__version__",)


def test_no_arrow_points_the_wrong_way(project_root: Path) -> None:
    assert violations(list(modules(project_root)), RULES, FREE) == []


def test_every_folder_of_sources_was_looked_at(project_root: Path) -> None:
    found = {module.name.partition(".")[0] for module in modules(project_root)}
    assert found == {
        "whisperdrop",
        "whisperdrop_api",
        "whisperdrop_client",
        "whisperdrop_worker",
        "whisperdrop_dispatcher",
        "whisperdrop_notifier",
        "whisperdrop_bridge",
        "whisperdrop_local",
        "whisperdrop_cost",
    }
    assert len(SOURCES) == len(found)


def test_every_rule_has_its_modules(project_root: Path) -> None:
    used = {rule_for(module.name, RULES) for module in modules(project_root)}
    assert [rule.package for rule in RULES if rule not in used] == []


ARROWS_THAT_ARE_WRONG = [
    ("whisperdrop.domain.x", "from whisperdrop.ports import Clock"),
    ("whisperdrop.domain.x", "import boto3"),
    ("whisperdrop.domain.x", "from ..service import jobs"),
    ("whisperdrop.domain.x", "from .. import ports"),
    ("whisperdrop.domain.x", "def f():\n    import requests"),
    ("whisperdrop.domain.x", "if TYPE_CHECKING:\n    import mypy_boto3_s3"),
    ("whisperdrop.errors", "from whisperdrop.domain import ids"),
    ("whisperdrop.ports", "from whisperdrop.service import jobs"),
    ("whisperdrop.service.x", "from whisperdrop.adapters.s3 import S3ObjectStore"),
    ("whisperdrop.service.x", "from whisperdrop import adapters"),
    ("whisperdrop.service.x", "from whisperdrop.settings import CoreSettings"),
    ("whisperdrop.adapters.x", "from whisperdrop.service import jobs"),
    ("whisperdrop.adapters.x", "from whisperdrop.domain import keys"),
    ("whisperdrop.adapters.x", "import whisperdrop_api"),
    ("whisperdrop_api.x", "from whisperdrop_worker.settings import WorkerSettings"),
    ("whisperdrop_api.x", "import numpy as np"),
    ("whisperdrop_api.x", "import faster_whisper.audio"),
    ("whisperdrop_api.x", "import boto3"),
    ("whisperdrop_api.x", "import importlib\nimportlib.import_module('av')"),
    ("whisperdrop_worker.x", "from fastapi import FastAPI"),
    ("whisperdrop_worker.x", "import mangum"),
    ("whisperdrop_worker.x", "from botocore.config import Config"),
    ("whisperdrop_dispatcher.x", "import whisperdrop_worker"),
    ("whisperdrop_notifier.x", "from whisperdrop_worker.settings import WorkerSettings"),
    ("whisperdrop_client.x", "from whisperdrop.domain.media import EXTENSIONS"),
    ("whisperdrop_client.x", "import typer"),
    ("whisperdrop_client.command.x", "import pydantic"),
    ("whisperdrop_local.x", "from whisperdrop_api.app import create_app"),
    ("whisperdrop_local.x", "import whisperdrop_worker"),
    ("unknown.x", ""),
]


@pytest.mark.parametrize(("name", "source"), ARROWS_THAT_ARE_WRONG)
def test_an_arrow_that_points_the_wrong_way_is_seen(name: str, source: str) -> None:
    found = [
        Module(name, source),
        *(Module(top, "", is_package=True) for top in ("whisperdrop", "whisperdrop_api")),
        *(Module(top, "", is_package=True) for top in ("whisperdrop_worker", "whisperdrop_local")),
    ]
    assert len(violations(found, RULES, FREE)) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("whisperdrop.domain.x", "import json\nfrom pydantic import BaseModel"),
        ("whisperdrop.domain.x", "from . import keys\nfrom ..errors import StoreError"),
        ("whisperdrop.service.x", "from whisperdrop.ports import Clock"),
        ("whisperdrop.adapters.x", "import boto3\nfrom whisperdrop import errors"),
        ("whisperdrop_api.x", "import fastapi\nfrom whisperdrop.adapters.s3 import S3Presigner"),
        ("whisperdrop_worker.x", "import av\nfrom whisperdrop import __version__"),
        ("whisperdrop_local.x", "import boto3\nfrom whisperdrop_api.settings import ApiSettings"),
    ],
)
def test_an_arrow_that_points_the_right_way_is_taken(name: str, source: str) -> None:
    found = [
        Module(name, source),
        *(Module(top, "", is_package=True) for top in ("whisperdrop", "whisperdrop_api")),
    ]
    assert violations(found, RULES, FREE) == []


_IMPORT_EVERYTHING = """
import importlib, socket, sys

def refuse(*_, **__):
    raise SystemExit("an import reached for the network")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import boto3
boto3.client = boto3.resource = boto3.Session = refuse
for name in sys.argv[1:]:
    importlib.import_module(name)
print(len(sys.argv) - 1, "imported")
"""


def test_importing_core_makes_no_client_and_reads_no_environment(project_root: Path) -> None:
    names = [m.name for m in modules(project_root) if m.name.split(".")[0] == "whisperdrop"]
    environ = {"PATH": os.defpath, "PYTHONPATH": str(project_root / "layers" / "core")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _IMPORT_EVERYTHING, *names],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"{len(names)} imported\n", done.stderr
