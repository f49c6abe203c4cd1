"""The embedded stack: emulator, storage template, API, worker, sweep and notifier, on loopback."""

import contextlib
import fcntl
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import boto3
import requests

from whisperdrop_local.deploy import PATH_STYLE, Storage, deploy
from whisperdrop_local.guardian import Guardian
from whisperdrop_local.processes import Child, ChildDiedError
from whisperdrop_local.settings import StackSettings

LOOPBACK = "127.0.0.1"
_START_TIMEOUT_S = 60.0
_MODELS_TIMEOUT_S = 3600.0  # the first start may have gigabytes of weights to fetch
_SAY_AFTER_S = 8.0
_CREDENTIALS = {
    # The emulator's own; it checks signatures with them.
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


_METRICS_PORT = re.compile(r'"metrics_port":(\d+)')


class StackError(Exception):
    """The stack cannot start; the message says what to do."""


class Stack:
    """Starts everything on entering, stops everything on leaving."""

    def __init__(
        self, settings: StackSettings, environment: Mapping[str, str] | None = None
    ) -> None:
        """``environment`` is added to that of API, worker, sweep and notifier."""
        self._settings = settings
        self._more_environment = dict(environment or {})
        self._data = settings.data_dir.resolve()
        self._port = settings.port or free_port()
        self._emulator_port = settings.emulator_port or free_port()
        self._children: list[Child] = []
        self._lock: IO[str] | None = None
        self._guardian: Guardian | None = None
        self.storage: Storage | None = None

    @property
    def address(self) -> str:
        """Where the API answers."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def endpoint(self) -> str:
        """Where the emulator answers: AWS_ENDPOINT_URL."""
        return f"http://{LOOPBACK}:{self._emulator_port}"

    @property
    def api_key(self) -> str:
        """The key to use."""
        return self._settings.api_key.get_secret_value()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every child; what the user set passes through."""
        if self.storage is None:
            raise StackError("the stack has not started")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        mine = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "S3_ADDRESSING_STYLE": "path",
            "API_KEY": self.api_key,
            "HOST": LOOPBACK,
            "PORT": str(self._port),
            "LEASE_SECONDS": str(self._settings.lease_seconds),
            "RECEIVE_WAIT_SECONDS": "1",
            "SHUTDOWN_SECONDS": "6",
            "SWEEP_INTERVAL_SECONDS": str(self._settings.sweep_interval_seconds),
            "MODEL_DIR": str(self._data / "models"),
            "SCRATCH_DIR": str(self._data / "scratch"),
            "TMPDIR": str(self._data / "tmp"),  # large uploads pass through files
        }
        return environment | _CREDENTIALS | mine | self.storage.environment | self._more_environment

    def child(self, name: str) -> Child:
        """The child called ``name``: emulator, api, worker, notifier or sweep."""
        return next(child for child in self._children if child.name == name)

    @property
    def metrics_ports(self) -> dict[str, int]:
        """Where ``/metrics`` is served, by child, as far as they have said it."""
        ports = {"api": self._port}
        for child in self._children:
            if child.log.exists() and (said := _METRICS_PORT.findall(child.log.read_text())):
                ports[child.name] = int(said[-1])
        return ports

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._claim()
        self._guardian = Guardian()
        self._start_emulator()
        session = boto3.Session(
            aws_access_key_id=_CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=_CREDENTIALS["AWS_DEFAULT_REGION"],
        )
        self.storage = deploy(
            session.client("cloudformation", endpoint_url=self.endpoint),
            session.client("s3", endpoint_url=self.endpoint, config=PATH_STYLE),
            visibility_s=self._settings.lease_seconds,
        )
        python = [sys.executable, "-m"]
        self._add("api", [*python, "whisperdrop_api", "serve"])
        self._add("worker", [*python, "whisperdrop_worker", "serve"])
        self._add("notifier", [*python, "whisperdrop_notifier", "serve"])
        # The emulator's queues do not outlive it, so at every start they are new.
        self._add("sweep", [*python, "whisperdrop_dispatcher", "--queues-are-new"])
        self._wait_for(lambda: _answers(f"{self.address}/health"), "the API")
        self._wait_for(self._worker_ready, "the worker and its models", _MODELS_TIMEOUT_S)

    def _claim(self) -> None:
        """One stack per data directory, and ports that are free."""
        self._data.mkdir(parents=True, exist_ok=True)
        self._lock = (self._data / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"another stack is using {self._data}; stop it, or set DATA_DIR"
            ) from error
        for port, variable in ((self._port, "PORT"), (self._emulator_port, "EMULATOR_PORT")):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((LOOPBACK, port))
                except OSError as error:
                    raise StackError(
                        f"port {port} is in use; set {variable} to another, or to 0 for a free one"
                    ) from error

    def _start_emulator(self) -> None:
        executable = self._settings.ministack.resolve()
        if not executable.exists():
            raise StackError(f"the emulator is not at {executable}; run 'make setup'")
        for folder in ("s3", "tmp"):
            (self._data / folder).mkdir(exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self._launch(
            "emulator",
            [str(executable)],
            environment
            | {
                "BIND_HOST": LOOPBACK,
                "GATEWAY_PORT": str(self._emulator_port),
                "TMPDIR": str(self._data / "tmp"),
                "S3_PERSIST": "1",
                "S3_DATA_DIR": str(self._data / "s3"),
                "STATE_DIR": str(self._data / "emulator"),
                "PERSIST_STATE": "0",
                "SFTP_ENABLED": "0",
                "IOT_MTLS_ENABLED": "0",
            },
            restart=False,  # its queues would be lost: the whole stack has to start again
        )
        self._wait_for(lambda: _answers(f"{self.endpoint}/_ministack/health"), "the emulator")

    def _add(self, name: str, command: list[str]) -> None:
        # Each takes a free port, and logs which.
        environment = self.environment | {"METRICS_PORT": "0"}
        self._launch(name, command, environment, restart=True)

    def _launch(
        self, name: str, command: list[str], environment: dict[str, str], *, restart: bool
    ) -> None:
        if self._guardian is None:
            raise StackError("the stack has not started")
        log = self._data / "logs" / f"{name}.log"
        child = Child(name, command, environment, log, self._guardian, restart)
        self._children.append(child)
        child.start()

    def _worker_ready(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            health = requests.get(f"{self.address}/health", timeout=5)
            return health.ok and health.json()["workers"] > 0
        return False

    def _wait_for(
        self, ready: Callable[[], bool], what: str, timeout_s: float = _START_TIMEOUT_S
    ) -> None:
        began = time.monotonic()
        said = False
        while not ready():
            waited = time.monotonic() - began
            if waited > _SAY_AFTER_S and not said:
                said = True
                print(f"still waiting for {what}; logs: {self._data / 'logs'}", flush=True)
            for child in self._children:
                if child.process and child.process.poll() is not None:
                    raise ChildDiedError(
                        f"{child.name} ended at the start; the end of {child.log}:\n{child.tail()}"
                    )
            if waited > timeout_s:
                raise StackError(f"{what} did not answer in {timeout_s:.0f} s")
            time.sleep(0.05)

    def supervise(self) -> Iterator[str]:
        """Restart children that die; yields their names, without end."""
        while True:
            for child in self._children:
                if child.check():
                    yield child.name
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop everything, the emulator last, so that jobs can be handed back."""
        for child in reversed(self._children):
            if child.name != "emulator":
                child.stop()
        for child in reversed(self._children):
            if child.name == "emulator":
                child.stop()
            child.wait()
        self._children.clear()
        if self._guardian is not None:
            self._guardian.dismiss()
            self._guardian = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def data_dir_for_demo(base: Path) -> Path:
    """A directory of its own, so that a demo disturbs no running stack."""
    return base / f"demo-{os.getpid()}"
