"""AWS's image of a Python runtime for `sam local`, or a stand-in for it.

Where WHISPERDROP_STANDINS names a folder with ``lambda-standin/Dockerfile``, an image with the same
paths and entry point is made on the base image of the other tests. Its Python is the base image's,
so the functions have to be built for that one.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.lanes import lane
from tests.standins import STANDINS, base_image, docker, has_image

_OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
_STANDIN = "whisperdrop-lambda:tests"
_PULL_S = 300
_BUILD_S = 300


@dataclass(frozen=True)
class LambdaRuntime:
    """What zip functions are built for and run on."""

    python: str
    """Folder of the interpreter that `sam build` is to find first."""
    version: str
    invoke_image: str | None
    """None: AWS's own."""

    @property
    def name(self) -> str:
        """As the template has it."""
        return f"python{self.version}"


def lambda_runtime() -> LambdaRuntime:
    """AWS's image for this very Python, or the stand-in. Needs ``docker_engine``."""
    own = Path(sys.executable).parent
    real = f"public.ecr.aws/lambda/python:{_OWN}"
    if has_image(real) or _pulled(real):
        return LambdaRuntime(str(own), _OWN, None)
    folder = Path(os.environ.get(STANDINS) or "/nowhere") / "lambda-standin"
    lane(
        "docker",
        (folder / "Dockerfile").is_file(),
        f"{real} cannot be pulled, and {STANDINS} names no folder with a lambda-standin",
    )
    base = base_image()
    docker(
        *("build", "--quiet", "--build-arg", f"BASE_IMAGE={base}", "-t", _STANDIN, str(folder)),
        timeout_s=_BUILD_S,
    )
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = docker("run", "--rm", base, "python", "-c", script).stdout.strip()
    found = str(own) if version == _OWN else _interpreter(version)
    lane("docker", found, f"the functions are to be built for Python {version}, and there is none")
    return LambdaRuntime(found, version, _STANDIN)


def _pulled(image: str) -> bool:
    try:
        return docker("pull", "--quiet", image, check=False, timeout_s=_PULL_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _interpreter(version: str) -> str:
    """The folder of a ``python3.x`` of that version with pip; empty where there is none."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    places = [*os.environ.get("PATH", "").split(os.pathsep)]
    places += [str(place / "bin") for place in sorted(pyenv.glob(f"{version}.*"))]
    for place in places:
        program = shutil.which(name, path=place)
        if program and _works(program):
            return place
    return ""


def _works(program: str) -> bool:
    """A shim of pyenv may lie there and answer that the version is not chosen."""
    asked = [program, "-m", "pip", "--version"]
    return subprocess.run(asked, capture_output=True, check=False, timeout=60).returncode == 0
