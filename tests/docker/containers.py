"""Containers that a test starts, confined as a production would confine them."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.standins import docker

CONFINED = (
    "--read-only",
    *("--tmpfs", "/tmp:rw,noexec,nosuid,size=512m"),
    *("--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
    *("--memory", "2g"),
    *("--pids-limit", "256"),
)
"""Read-only root, no capabilities, 2 GB: what Lambda grants, about."""

NO_NETWORK = ("--network", "none")

HOST_NETWORK = ("--network", "host")
"""The servers of the suite listen on the host's loopback interface, and so does the container."""

_POLL_S = 0.2


@dataclass(frozen=True)
class Container:
    """One that runs."""

    id: str

    def inspect(self) -> dict[str, Any]:
        """What the engine knows of it."""
        [found] = json.loads(docker("inspect", self.id).stdout)
        assert isinstance(found, dict)
        return found

    def health(self) -> str:
        """``starting``, ``healthy`` or ``unhealthy``."""
        return str(self.inspect()["State"]["Health"]["Status"])

    def wait_for_health(self, wanted: str, timeout_s: float = 60) -> None:
        """Return as soon as its health is ``wanted``."""
        deadline = time.monotonic() + timeout_s
        while (health := self.health()) != wanted:
            state = self.inspect()["State"]
            assert state["Running"], f"it ended: {self.log()}"
            assert time.monotonic() < deadline, f"{health}, {state['Health']['Log'][-1:]}"
            time.sleep(_POLL_S)

    def signal(self, name: str) -> None:
        """Send a signal to its first process."""
        docker("kill", "--signal", name, self.id)

    def stop(self, grace_s: int) -> int:
        """SIGTERM, and SIGKILL after ``grace_s``; the exit code."""
        docker("stop", "--time", str(grace_s), self.id, timeout_s=grace_s + 60)
        return int(self.inspect()["State"]["ExitCode"])

    def log(self) -> str:
        """Everything it has printed."""
        said = docker("logs", self.id, check=False)
        return said.stdout + said.stderr


@contextlib.contextmanager
def container(
    image: str,
    *command: str,
    options: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
) -> Iterator[Container]:
    """``image`` in the background, confined; removed with its log in the end."""
    started = docker("run", "--detach", *CONFINED, *options, *_variables(environ), image, *command)
    running = Container(started.stdout.strip())
    try:
        yield running
    finally:
        docker("rm", "--force", "--volumes", running.id, check=False)


def output_of(
    image: str,
    *command: str,
    options: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
) -> str:
    """What one confined run without a network prints."""
    flags = ("--rm", *CONFINED, *NO_NETWORK, *options, *_variables(environ))
    return docker("run", *flags, image, *command, timeout_s=120).stdout


def _variables(environ: Mapping[str, str] | None) -> list[str]:
    return [f"--env={name}={value}" for name, value in (environ or {}).items()]
