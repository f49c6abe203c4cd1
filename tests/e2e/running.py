"""A running stack with what a test needs to look into it and to break it."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from tests.emulator import CREDENTIALS, find_emulator
from tests.lanes import lane
from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.adapters.sqs import SqsJobQueue
from whisperdrop_local.settings import StackSettings
from whisperdrop_local.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient


@dataclass
class RunningStack:
    """The stack, its store and queues, and its logs."""

    stack: Stack
    data_dir: Path

    @property
    def address(self) -> str:
        return self.stack.address

    @property
    def api_key(self) -> str:
        return self.stack.api_key

    @property
    def bucket(self) -> str:
        assert self.stack.storage is not None
        return self.stack.storage.bucket

    @property
    def s3(self) -> "S3Client":
        return boto3.client("s3", config=Config(s3={"addressing_style": "path"}), **self._aws)

    @property
    def sqs(self) -> "SQSClient":
        return boto3.client("sqs", **self._aws)

    @property
    def _aws(self) -> dict[str, Any]:
        return {
            "endpoint_url": self.stack.endpoint,
            "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            "region_name": CREDENTIALS["AWS_DEFAULT_REGION"],
        }

    @property
    def store(self) -> S3ObjectStore:
        return S3ObjectStore(self.s3, self.bucket)

    def queue(self, name: str) -> SqsJobQueue:
        """``interactive`` or ``bulk``."""
        assert self.stack.storage is not None
        return SqsJobQueue(self.sqs, getattr(self.stack.storage, f"{name}_queue_url"))

    def keys(self, prefix: str) -> list[str]:
        return [info.key for info in self.store.list(prefix)]

    def document(self, key: str) -> dict[str, Any]:
        found = self.store.get(key)
        assert found is not None, f"there is no {key}"
        document: dict[str, Any] = json.loads(found.body)
        return document

    def log(self, child: str) -> list[dict[str, Any]]:
        """Every structured line that a child has logged."""
        path = self.data_dir / "logs" / f"{child}.log"
        lines = path.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self, child: str, message: str, job_id: str) -> list[dict[str, Any]]:
        """Lines of one event about one job."""
        return [
            line
            for line in self.log(child)
            if line.get("message") == message and line.get("job_id") == job_id
        ]

    def kill(self, child: str) -> None:
        """SIGKILL, and wait until it is gone."""
        process = self.stack.child(child).process
        assert process is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def revive(self) -> None:
        """Start again whatever has died."""
        for name in ("api", "worker", "notifier", "sweep"):
            self.stack.child(name).check()


@contextlib.contextmanager
def stack_on_free_ports(
    project_root: Path,
    data_dir: Path,
    environment: Mapping[str, str] | None = None,
    **overrides: Any,
) -> Iterator[RunningStack]:
    """A stack of its own, ``environment`` for its processes; skips where there is no emulator."""
    program = find_emulator(project_root)
    lane("emulator", program, "there is no .venv-emulator/bin/ministack and MINISTACK names none")
    settings = StackSettings.model_validate(
        {
            "port": 0,
            "emulator_port": 0,
            "data_dir": data_dir,
            "api_key": "change-me",
            "ministack": program,
        }
        | overrides
    )
    with Stack(settings, environment) as stack:
        yield RunningStack(stack, data_dir)
