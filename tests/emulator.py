"""The S3 and SQS emulator that the suite runs against: one per test run, thrown away after it."""

import contextlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.processes import free_port, running, wait_until

# The emulator checks presigned requests with its own credentials.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True)
class Emulator:
    """A running emulator, and the environment in which every AWS client finds it."""

    endpoint: str

    @property
    def environ(self) -> dict[str, str]:
        """Variables that point boto3 at it."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL": self.endpoint}


def find_emulator(project_root: Path) -> Path | None:
    """The emulator's program: MINISTACK in the environment, or the project's own environment."""
    named = os.environ.get("MINISTACK")
    program = Path(named) if named else project_root / ".venv-emulator" / "bin" / "ministack"
    return program if program.is_file() else None


@contextlib.contextmanager
def run_emulator(
    program: Path, directory: Path, *, auth: bool = False, data: Path | None = None
) -> Iterator[Emulator]:
    """``program`` on a free port of the loopback interface; nothing is kept.

    Objects live in memory, or in files under ``data``; what lies there at the start is there too.

    With ``auth`` it checks every signature and every policy, also those of queues and roles.
    """
    endpoint = f"http://127.0.0.1:{(port := free_port())}"
    log = directory / "emulator.log"
    environ = CREDENTIALS | {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "S3_PERSIST": str(int(data is not None)),
        "S3_DATA_DIR": str(data or directory / "none"),
        "PERSIST_STATE": "0",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "AUTH": str(auth).lower(),
    }
    with running([str(program)], environ=environ, cwd=directory, log=log) as process:
        wait_until(lambda: _healthy(endpoint), process, log=log)
        yield Emulator(endpoint)


def _healthy(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(  # noqa: S310 – our own loopback address
            f"{endpoint}/_ministack/health", timeout=2
        ) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
