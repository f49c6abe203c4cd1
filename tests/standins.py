"""A Docker Engine, and images to stand in for those of a registry that cannot be reached.

The tests start no engine and keep none: they use the one that runs. Where WHISPERDROP_STANDINS
names a folder with ``standin.sh``, an image like ``python:3.13-slim-bookworm`` is made out of
packages; without it, and without a registry, there is nothing to build on.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.lanes import lane

ROOT = Path(__file__).resolve().parent.parent
STANDINS = "WHISPERDROP_STANDINS"
REAL_BASE = "python:3.13-slim-bookworm"
"""What the Dockerfiles name as their BASE_IMAGE."""

_STANDIN_PYTHON = "3.13.0"
_STANDIN = "python-standin:3.13"
_CANNOT = 77
"""Exit status of a stand-in's script on a machine that cannot make it."""
_PULL_S = 120
_MAKE_S = 300
_BUILD_S = 900


def docker(
    *arguments: str,
    check: bool = True,
    timeout_s: float = 60,
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """``docker`` with ``arguments``. With ``check``, its error output is the assertion's."""
    result = subprocess.run(
        [_program("docker"), *arguments],
        env=None if environ is None else {**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert not check or result.returncode == 0, f"docker {arguments[0]}: {_tail(result)}"
    return result


def docker_engine() -> None:
    """Go on where an engine answers; skip otherwise, or fail where the lane is required."""
    lane("docker", _engine_answers(), "no Docker Engine answers here")


def base_image() -> str:
    """The image to build on: BASE_IMAGE, the real one, or a stand-in for it.

    Skips where there is none of them. Needs ``docker_engine``.
    """
    if named := os.environ.get("BASE_IMAGE"):
        return named
    found, reason = _find_base()
    lane("docker", found, reason)
    return found


def build_image(name: str, dockerfile: str, *, target: str = "", **arguments: str) -> str:
    """Build ``docker/<dockerfile>`` as ``name``, with build ``arguments``; the name."""
    options = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    options += [f"--target={target}"] if target else []
    file = str(ROOT / "docker" / dockerfile)
    docker("build", "--quiet", *options, "-t", name, "-f", file, str(ROOT), timeout_s=_BUILD_S)
    return name


def has_image(name: str) -> bool:
    """Whether the engine has it already."""
    return docker("image", "inspect", name, check=False).returncode == 0


@functools.cache
def _engine_answers() -> bool:
    try:
        return docker("version", "--format", "{{.Server.Version}}", check=False).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


@functools.cache
def _find_base() -> tuple[str, str]:
    """The image, and why there is none."""
    if has_image(REAL_BASE) or _pulled(REAL_BASE):
        return REAL_BASE, ""
    folder = os.environ.get(STANDINS)
    if not folder:
        return "", f"{REAL_BASE} cannot be pulled, and {STANDINS} names no folder of stand-ins"
    made = subprocess.run(
        [_program("bash"), str(Path(folder) / "standin.sh"), _STANDIN_PYTHON, _STANDIN],
        capture_output=True,
        text=True,
        check=False,
        timeout=_MAKE_S,
    )
    if made.returncode == _CANNOT:
        return "", f"no stand-in for {REAL_BASE} can be made: {_tail(made)}"
    assert made.returncode == 0, f"standin.sh: {_tail(made)}"
    return _STANDIN, ""


def _pulled(name: str) -> bool:
    try:
        return docker("pull", "--quiet", name, check=False, timeout_s=_PULL_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _program(name: str) -> str:
    """Where it lies. Raises FileNotFoundError."""
    if found := shutil.which(name):
        return found
    raise FileNotFoundError(name)


def _tail(result: subprocess.CompletedProcess[str]) -> str:
    return (result.stderr.strip() or result.stdout.strip())[-2000:]
