"""``docker compose`` as the Makefile finds it, and a stack of the real compose file under test."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import requests
from botocore.config import Config

from tests.lanes import lane
from tests.processes import free_port
from tests.standins import ROOT, docker

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "whisperdrop-local"
API_KEY = "a-key-of-the-tests"
TOKEN = "a-token-of-the-tests"
SERVICES = ("localstack", "minio", "bridge", "sweep", "api", "worker", "notifier")
FILES = ROOT / "docker"
_OURS = ROOT / ".venv-compose" / "bin" / "docker-compose"
_UP_S = 180


def program() -> list[str]:
    """``docker compose`` where it is there, else the one of .venv-compose."""
    if shutil.which("docker"):
        plugin = docker("compose", "version", "--short", check=False).stdout
        if plugin.strip().lstrip("v")[:1].isdigit():
            return ["docker", "compose"]
    lane("docker", _OURS.is_file(), "there is neither `docker compose` nor .venv-compose")
    return [str(_OURS)]


@dataclass(frozen=True)
class Composed:
    """A project of containers that goes when the test has ended."""

    project: str
    command: tuple[str, ...]
    environ: dict[str, str]

    def compose(self, *arguments: str, timeout_s: float = 120) -> str:
        """What ``docker compose`` says; an assertion where it fails."""
        done = subprocess.run(
            [*self.command, *arguments],
            env=os.environ | self.environ,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"compose {arguments}: {done.stderr[-2000:]}"
        return done.stdout

    def container(self, service: str) -> str:
        """Name of the only container of a service."""
        return f"{self.project}-{service}-1"

    def restart(self, service: str) -> None:
        """End it as ``docker compose restart`` does, and start it again."""
        docker("restart", "-t", "15", self.container(service))

    def logs(self, service: str) -> list[dict[str, object]]:
        """Its log lines that are JSON."""
        found = []
        for line in docker("logs", self.container(service)).stdout.splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.environ['PORT']}"

    @property
    def bridge(self) -> str:
        return f"http://127.0.0.1:{self.environ['BRIDGE_PORT']}"

    @property
    def s3(self) -> "S3Client":
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.environ['MINIO_PORT']}",
            aws_access_key_id="whisperdrop",
            aws_secret_access_key="whisperdrop-secret",
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )

    def keys(self, prefix: str) -> list[str]:
        """Every key under ``prefix``."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def post(self, body: bytes) -> int:
        """Post to the bridge as the store does; the status."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        return requests.post(
            f"{self.bridge}/events", data=body, headers=headers, timeout=60
        ).status_code


@contextlib.contextmanager
def composed(api: str, worker: str, emulator: str, **environ: str) -> Iterator[Composed]:
    """compose.yaml with compose.emulator.yaml, on free ports, of images that are built already."""
    project = f"wdtest{os.getpid()}"
    files = [FILES / "compose.yaml", FILES / "compose.emulator.yaml"]
    options = [option for file in files for option in ("-f", str(file))]
    ports = ("PORT", "MINIO_PORT", "MINIO_CONSOLE_PORT", "LOCALSTACK_PORT", "BRIDGE_PORT")
    stack = Composed(
        project,
        (*program(), "-p", project, *options),
        {
            "API_IMAGE": api,
            "WORKER_IMAGE": worker,
            "EMULATOR_IMAGE": emulator,
            "API_KEY": API_KEY,
            "BRIDGE_TOKEN": TOKEN,
            **{name: str(free_port()) for name in ports},
            **environ,
        },
    )
    try:
        stack.compose("up", "-d", "--no-build", timeout_s=_UP_S)
        yield stack
    except BaseException:
        print(stack.compose("logs", "--tail", "60", timeout_s=60))
        raise
    finally:
        stack.compose("down", "-v", "-t", "2", "--remove-orphans", timeout_s=120)


def until(true: Callable[[], bool], what: str, timeout_s: float = 90) -> None:
    """Return when ``true`` is; what fails on the way there may still come."""
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(requests.RequestException):
            if true():
                return
        assert time.monotonic() < deadline, f"not {what} after {timeout_s:.0f} s"
        time.sleep(0.1)
