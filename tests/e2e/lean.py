"""The API over an emulator and nothing else: no worker, no events. What is measured is the API."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.e2e.client import Client
from tests.emulator import run_emulator
from tests.processes import free_port, running, wait_until

BUCKET = "whisperdrop-local"
KEY = "lean-key"
_ACCOUNT = "000000000000"


@dataclass(frozen=True)
class LeanApi:
    """A running API and its process id."""

    client: Client
    pid: int

    def resident_bytes(self) -> int:
        """Physical memory of the process now (Linux, proc(5))."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise LookupError("VmRSS")


def in_bucket(data: Path, key: str) -> Path:
    """Where the emulator keeps an object; a file that is there at its start is one."""
    path = data / _ACCOUNT / BUCKET / key
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def lean_api(program: Path, directory: Path, data: Path) -> Iterator[LeanApi]:
    """The API over a bucket that holds what lies under ``data``."""
    directory, data = directory.resolve(), data.resolve()
    in_bucket(data, "proof/any").write_bytes(b"")  # a bucket is what has objects
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    log = directory / "api.log"
    with run_emulator(program, directory, data=data) as emulator:
        environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
            **emulator.environ,
            "BUCKET": BUCKET,
            "INTERACTIVE_QUEUE_URL": f"{emulator.endpoint}/{_ACCOUNT}/interactive",
            "BULK_QUEUE_URL": f"{emulator.endpoint}/{_ACCOUNT}/bulk",
            "S3_ADDRESSING_STYLE": "path",
            "API_KEY": KEY,
            "PORT": str(port),
        }
        command = [sys.executable, "-m", "whisperdrop_api", "serve"]
        with running(command, environ=environ, cwd=directory, log=log) as process:
            wait_until(lambda: _answers(address), process, log=log)
            yield LeanApi(Client(address, KEY), process.pid)


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health", timeout=5).ok
    except requests.RequestException:
        return False
