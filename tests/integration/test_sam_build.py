"""`sam validate` and `sam build` as a deployment runs them, and what the built zips can import."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lanes import lane

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
"""The runtime built for. SAM wants the very Python of a runtime on the PATH; this one is here."""

ZIPS = ("ApiFunction", "SweepFunction", "DispatcherFunction", "NotifierFunction")

pytestmark = pytest.mark.sam


@dataclass(frozen=True)
class Sam:
    """The SAM CLI and the environment it runs in."""

    cli: str
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.cli, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Sam:
    beside = ROOT / ".venv-sam" / "bin" / "sam"
    cli = os.environ.get("SAM_CLI") or (str(beside) if beside.is_file() else shutil.which("sam"))
    lane("sam", cli, "there is no SAM CLI: no SAM_CLI, .venv-sam/bin/sam nor one on the PATH")
    assert cli is not None
    # With the layer's wheels at hand the build needs no network.
    wheels = ROOT / ".venv-sam" / "wheels"
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)} if wheels.is_dir() else {}
    # SAM runs the pip of the interpreter that it finds first: the one of this environment.
    interpreter = str(Path(sys.executable).parent)
    return Sam(
        cli,
        {
            **os.environ,
            **offline,
            "PATH": interpreter + os.pathsep + os.environ.get("PATH", os.defpath),
            "SAM_CLI_TELEMETRY": "0",
            # Validation reads a region, and must not read anyone's profile.
            "AWS_DEFAULT_REGION": "us-east-1",
            "__SAM_CLI_APP_DIR": str(tmp_path_factory.mktemp("sam-home")),
        },
    )


@pytest.fixture(scope="module")
def built(sam: Sam, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip functions, the layer and the nested template; the image needs a Docker engine."""
    target = tmp_path_factory.mktemp("sam") / "build"
    result = sam.run(
        "build",
        "--exclude",
        "WorkerFunction",
        "--build-dir",
        str(target),
        "--parameter-overrides",
        f"PythonRuntime={RUNTIME}",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return target


def _run_as_lambda_does(built: Path, function: str, program: str) -> str:
    """Run with the paths of a Lambda: function before layer, and nothing of this machine."""
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _PRELUDE + program],
        env={
            "TASK_ROOT": str(built / function),
            "LAYER_ROOT": str(built / "CoreLayer" / "python"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        cwd=built,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


_PRELUDE = """
import os, sys
sys.dont_write_bytecode = True
sys.path[:0] = [os.environ["TASK_ROOT"], os.environ["LAYER_ROOT"]]
"""


def test_the_template_is_valid_and_lints_clean(sam: Sam) -> None:
    result = sam.run("validate", "--lint")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "is a valid SAM Template" in result.stdout


def test_the_layer_carries_the_core_package_and_its_dependencies(built: Path) -> None:
    layer = built / "CoreLayer" / "python"
    for package in ("whisperdrop", "boto3", "pydantic", "aws_lambda_powertools", "fastapi"):
        assert (layer / package / "__init__.py").is_file(), package
    assert not (layer / "uvicorn").exists()


def test_the_zips_repeat_nothing_that_the_layer_carries(built: Path) -> None:
    in_layer = {path.name for path in (built / "CoreLayer" / "python").iterdir()}
    for function in ZIPS:
        in_zip = {path.name for path in (built / function).iterdir()}
        assert in_zip & in_layer <= {"requirements.txt"}


def test_nothing_built_comes_near_the_limit_of_a_lambda(built: Path) -> None:
    for function in ZIPS:
        files = [*(built / function).rglob("*"), *(built / "CoreLayer").rglob("*")]
        unzipped = sum(path.stat().st_size for path in files if path.is_file())
        assert unzipped < 150 * 2**20  # Lambda's limit is 250 MiB


@pytest.mark.parametrize(
    ("name", "holds"), [("Storage", "AWS::S3::Bucket"), ("Fleet", "AWS::ECS::CapacityProvider")]
)
def test_a_nested_template_is_built_with_the_rest(built: Path, name: str, holds: str) -> None:
    assert f"TemplateURL: {name}/template.yaml" in (built / "template.yaml").read_text()
    assert holds in (built / name / "template.yaml").read_text()


def test_what_the_functions_depend_on_imports_from_layer_and_zip_alone(built: Path) -> None:
    program = "import boto3, fastapi, mangum, multipart, pydantic_settings, whisperdrop\n"
    program += "import aws_lambda_powertools\nprint(whisperdrop.__file__)"
    assert str(built) in _run_as_lambda_does(built, "ApiFunction", program)


@pytest.mark.parametrize(
    ("function", "handler"),
    [
        ("ApiFunction", "whisperdrop_api.handler"),
        ("SweepFunction", "whisperdrop_dispatcher.handler"),
        ("DispatcherFunction", "whisperdrop_dispatcher.fleet_handler"),
        ("NotifierFunction", "whisperdrop_notifier.handler"),
    ],
)
def test_a_handler_is_found_where_the_template_says(
    built: Path, function: str, handler: str
) -> None:
    program = (
        "from importlib.util import find_spec\n"
        f"spec = find_spec({handler!r})\n"
        "print(spec and spec.origin)"
    )
    assert str(built / function) in _run_as_lambda_does(built, function, program)
