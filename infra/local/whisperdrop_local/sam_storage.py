"""Storage and queues for functions that `sam local` runs in containers.

Either those that the environment names, or an emulator of its own: a container, since containers do
not reach the host's loopback interface, and whatever they do reach could be reached by others. The
functions find it in a network of theirs, the host on a free port of 127.0.0.1. It stays between two
commands, so that one finds what the other made, until it is removed with all that it holds.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import requests
from botocore.config import Config

from whisperdrop_local.deploy import PATH_STYLE, deploy
from whisperdrop_local.sample import SampleError, bundled

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

ROOT = Path(__file__).resolve().parents[3]
NAME = "whisperdrop-sam"
"""Of the network and of the emulator's container."""

_IMAGE = "whisperdrop-emulator"  # as compose calls it
_DOCKERFILE = ROOT / "docker" / "ministack.Dockerfile"
_HOST_NAME = "storage"
_PORT = 4566
_VISIBILITY_S = 120
_START_S = 30.0
_BUILD_S = 600.0
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_LOOPBACK = ("//127.0.0.1", "//localhost", "//[::1]")
_NAMED = (
    "BUCKET",
    "INTERACTIVE_QUEUE_URL",
    "BULK_QUEUE_URL",
    "NOTIFY_QUEUE_URL",
    "S3_ADDRESSING_STYLE",
    "S3_PUBLIC_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_SQS",
)


class SamLocalError(Exception):
    """The message says what to do."""


@dataclass(frozen=True)
class SamStorage:
    """Where the functions keep things, as they and this process see it."""

    variables: Mapping[str, str]
    """For every function."""
    credentials: Mapping[str, str] = field(default_factory=dict)
    """For `sam`, which hands its own to the functions; empty: those of the environment."""
    endpoint: str | None = None
    """As the host reaches it; None: as boto3 finds it."""
    network: str | None = None

    @property
    def bucket(self) -> str:
        return self.variables["BUCKET"]

    def s3(self) -> "S3Client":
        """A client of this process."""
        style = self.variables.get("S3_ADDRESSING_STYLE")
        return self._session().client(
            "s3",
            endpoint_url=self.endpoint,
            config=PATH_STYLE if style == "path" else Config(),
        )

    def sqs(self) -> "SQSClient":
        """A client of this process."""
        return self._session().client("sqs", endpoint_url=self.endpoint)

    def _session(self) -> boto3.Session:
        if not self.credentials:
            return boto3.Session()
        return boto3.Session(
            aws_access_key_id=self.credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.credentials["AWS_SECRET_ACCESS_KEY"],
            region_name=self.credentials["AWS_DEFAULT_REGION"],
        )


def storage(name: str = NAME) -> SamStorage:
    """The storage that the environment names, or the emulator called ``name``, started if need be.

    Raises SamLocalError.
    """
    if docker("version", check=False).returncode != 0:
        raise SamLocalError(
            "no Docker Engine answers, and sam local runs functions in containers; "
            "'make run' needs none"
        )
    return _named() if os.environ.get("BUCKET") else _emulated(name)


def remove(name: str = NAME) -> None:
    """End the emulator called ``name`` and every function in its network; what it held is gone."""
    remove_functions(name)
    docker("rm", "-f", name, check=False)
    docker("network", "rm", name, check=False)


def remove_functions(name: str = NAME) -> None:
    """End containers that `sam` left in the network because it was killed."""
    listed = docker("ps", "-aq", "--no-trunc", "--filter", f"network={name}", check=False)
    own = docker("inspect", "--format", "{{.Id}}", name, check=False).stdout.strip()
    if left := [one for one in listed.stdout.split() if one != own]:
        docker("rm", "-f", *left, check=False)


def docker(
    *arguments: str, check: bool = True, timeout_s: float = 120, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """``docker`` with ``arguments``, and ``text`` on its standard input. Raises SamLocalError."""
    program = shutil.which("docker")
    if program is None:
        raise SamLocalError("there is no docker on the PATH, and sam local needs a Docker Engine")
    done = subprocess.run(
        [program, *arguments],
        input=text or "",
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    if check and done.returncode != 0:
        raise SamLocalError(
            f"docker {arguments[0]}: {(done.stderr or done.stdout).strip()[-1500:]}"
        )
    return done


def _named() -> SamStorage:
    variables = {name: os.environ[name] for name in _NAMED if os.environ.get(name)}
    if missing := [name for name in _NAMED[:3] if name not in variables]:
        raise SamLocalError(f"BUCKET is set, so set {' and '.join(missing)} too")
    for name, value in variables.items():
        if name.startswith("AWS_ENDPOINT") and any(part in value for part in _LOOPBACK):
            raise SamLocalError(f"{name} is {value}, which a function's container does not reach")
    return SamStorage(variables)


def _emulated(name: str) -> SamStorage:
    fresh = docker("inspect", "--format", "{{.State.Running}}", name, check=False).stdout.strip()
    if fresh != "true":
        _start(name)
    published = docker("port", name, str(_PORT)).stdout.split()[0]
    emulator = SamStorage(
        {"S3_ADDRESSING_STYLE": "path"}, _CREDENTIALS, f"http://{published}", name
    )
    _wait_for(f"{emulator.endpoint}/_ministack/health")
    made = deploy(
        emulator._session().client("cloudformation", endpoint_url=emulator.endpoint),
        emulator.s3(),
        visibility_s=_VISIBILITY_S,
    )
    inside = f"http://{_HOST_NAME}:{_PORT}"
    variables = {
        **emulator.variables,
        **made.environment,
        "AWS_ENDPOINT_URL": inside,
        "S3_PUBLIC_ENDPOINT": f"http://{published}",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    found = SamStorage(variables, _CREDENTIALS, emulator.endpoint, name)
    if fresh != "true":
        _drop_the_sample(found)
    return found


def _start(name: str) -> None:
    base = os.environ.get("BASE_IMAGE")
    arguments = ["--build-arg", f"BASE_IMAGE={base}"] if base else []
    docker(
        "build", "--quiet", *arguments, "-t", _IMAGE, "-f", str(_DOCKERFILE), str(ROOT),
        timeout_s=_BUILD_S,
    )  # fmt: skip
    docker("rm", "-f", name, check=False)  # one that ended
    if docker("network", "inspect", name, check=False).returncode != 0:
        docker("network", "create", name)
    docker(
        *("run", "--detach", "--name", name, "--network", name, "--network-alias", _HOST_NAME),
        *("--publish", f"127.0.0.1::{_PORT}", "--read-only", "--tmpfs", "/tmp"),  # noqa: S108
        *("--cap-drop", "ALL", _IMAGE),
    )


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise SamLocalError(f"the emulator did not answer at {url}; see 'docker logs {NAME}'")


def _drop_the_sample(found: SamStorage) -> None:
    """Something to transcribe, which the event files name."""
    try:
        media = bundled().media
    except SampleError:
        return
    found.s3().put_object(
        Bucket=found.bucket, Key=f"inbox/default/{media.name}", Body=media.read_bytes()
    )
