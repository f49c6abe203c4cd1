"""`sam build` of everything, and what it built under `sam local start-api` and `sam local invoke`.

Storage is the emulator in a container; that of start-api, whose functions are fed from its queues,
is not that of invoke, where nobody takes the messages.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests

from tests.lambda_standin import LambdaRuntime, lambda_runtime
from tests.lanes import lane
from tests.processes import free_port, running, wait_until
from tests.recordings import bundled
from tests.standins import base_image, docker, docker_engine
from whisperdrop_local.deploy import BUCKET, PATH_STYLE
from whisperdrop_local.sample import same_words

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.sam, pytest.mark.speech]

_SERVED, _INVOKED = "whisperdrop-sam-tests", "whisperdrop-sam-tests-invoke"
_BUILD_S, _READY_S, _INVOKE_S, _DONE_S = 900, 300, 300, 120
_KEY = {"Authorization": "Bearer change-me"}


@dataclass(frozen=True)
class Sam:
    """The SAM CLI, what it has built, and this project's command around `sam local`."""

    project: Path
    cli: str
    runtime: LambdaRuntime
    environ: Mapping[str, str]
    build: Path

    def build_everything(self) -> None:
        overrides = [
            f"PythonRuntime={self.runtime.name}",
            f"BaseImage={self.environ['BASE_IMAGE']}",
        ]
        self._run(
            [
                self.cli,
                "build",
                "--build-dir",
                str(self.build),
                "--parameter-overrides",
                *overrides,
            ],
            _BUILD_S,
        )
        # As `make sam-build`: compiled by the Python that runs them, they start without compiling.
        python = str(Path(self.runtime.python) / self.runtime.name)
        self._run([python, "-m", "whisperdrop_image.zips", str(self.build)], _BUILD_S)

    def command(self, verb: str, *arguments: str, name: str) -> list[str]:
        """`make sam-local` and `make sam-invoke`, with folders and names of the tests' own."""
        image = self.runtime.invoke_image
        return [
            *(sys.executable, "-m", "whisperdrop_local.sam", verb, *arguments, "--name", name),
            *("--build-dir", str(self.build), "--runtime", self.runtime.name),
            *(["--invoke-image", image] if image else []),
        ]

    def invoke(self, function: str, *what: str, name: str) -> Any:
        """The function's answer: what `sam local invoke` prints last."""
        # SAM prints nothing, and is content, when it asks before the container listens: once more.
        for _ in range(3):
            done = self._run(self.command("invoke", function, *what, name=name), _INVOKE_S)
            if lines := done.stdout.strip().splitlines():
                return json.loads(lines[-1])
        raise AssertionError(done.stderr)

    def down(self, name: str) -> None:
        self._run([sys.executable, "-m", "whisperdrop_local.sam", "down", "--name", name], 60)

    def storage(self, name: str) -> "S3Client":
        """The emulator called ``name``, from the host."""
        published = docker("port", name, "4566").stdout.split()[0]
        session = boto3.Session("test", "test", region_name="us-east-1")
        return session.client("s3", endpoint_url=f"http://{published}", config=PATH_STYLE)

    def _run(self, command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.project,
            env=dict(self.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done


@dataclass(frozen=True)
class Served:
    """A running `make sam-local`."""

    address: str
    http: requests.Session = field(default_factory=requests.Session)

    def post(self, path: str, **more: Any) -> requests.Response:
        return self.http.post(f"{self.address}{path}", headers=_KEY, timeout=_DONE_S, **more)

    def get(self, path: str) -> requests.Response:
        return self.http.get(f"{self.address}{path}", headers=_KEY, timeout=_DONE_S)

    def transcribe(self, name: str, media: bytes, model: str = "tiny.en") -> requests.Response:
        """The small-file route, which answers 202 where a machine needs more than 20 s."""
        answer = self.post(f"/transcribe/{model}", files={"file": (name, media)})
        while answer.status_code == 202:
            assert self.ended(answer.json()["job_id"])
            answer = self.post(f"/transcribe/{model}", files={"file": (name, media)})
        return answer

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job when nothing more will happen to it."""
        for _ in range(10):
            job: dict[str, Any] = self.get(f"/v1/jobs/{job_id}?wait=20").json()
            if job["status"] not in {"awaiting_upload", "queued", "running"}:
                return job
        raise AssertionError(f"the job has not ended: {job}")


@pytest.fixture(scope="module")
def sam(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sam]:
    """Everything is built, the worker's image too."""
    docker_engine()
    beside = project_root / ".venv-sam" / "bin" / "sam"
    cli = os.environ.get("SAM_CLI") or (str(beside) if beside.is_file() else shutil.which("sam"))
    lane("sam", cli, "there is no SAM CLI: no SAM_CLI, .venv-sam/bin/sam nor one on the PATH")
    assert cli is not None
    base, runtime = base_image(), lambda_runtime()
    strange = ("AWS_", "BUCKET", "API_KEY", "SAM_CLI_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    environ |= {
        "PATH": runtime.python + os.pathsep + os.environ.get("PATH", os.defpath),
        "BASE_IMAGE": base,
        "SAM_CLI": cli,
        "SAM_CLI_TELEMETRY": "0",
        "PYTHONPATH": str(project_root / "docker" / "image"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "__SAM_CLI_APP_DIR": str(tmp_path_factory.mktemp("sam-home")),
    }
    built = Sam(project_root, cli, runtime, environ, tmp_path_factory.mktemp("sam") / "build")
    built.build_everything()
    yield built
    for name in (_SERVED, _INVOKED):
        built.down(name)


@pytest.fixture(scope="module")
def served(sam: Sam, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One `sam local start-api` for all of its tests."""
    port = free_port()
    log = tmp_path_factory.mktemp("served") / "out.log"
    command = sam.command("start-api", "--port", str(port), name=_SERVED)
    with running(command, environ=sam.environ, cwd=sam.project, log=log) as process:
        wait_until(lambda: "is ready" in log.read_text(), process, log=log, timeout_s=_READY_S)
        yield Served(f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def job(served: Served) -> dict[str, Any]:
    """Made behind SAM's API Gateway, uploaded by its presigned URL, transcribed in SAM's Lambda."""
    media = bundled().media.read_bytes()
    created = served.post("/v1/jobs", json={"filename": "fox.wav", "size": len(media)})
    assert created.status_code == 201, created.text
    upload = created.json()["upload"]
    assert requests.put(upload["url"], data=media, headers=upload["headers"], timeout=30).ok
    return served.ended(created.json()["job_id"])


def test_everything_is_built_the_workers_image_too(sam: Sam) -> None:
    template = (sam.build / "template.yaml").read_text()

    assert "ImageUri: workerfunction:worker" in template
    assert (sam.build / "ApiFunction" / "whisperdrop_api" / "handler.py").is_file()
    assert (sam.build / "CoreLayer" / "python" / "whisperdrop" / "__init__.py").is_file()


def test_a_job_made_through_start_api_is_transcribed(served: Served, job: dict[str, Any]) -> None:
    assert job["status"] == "succeeded", job
    text = served.get(f"/v1/jobs/{job['job_id']}/transcript?format=txt").text
    assert same_words(text, bundled().text)


@pytest.mark.usefixtures("job")  # the worker is warm: the answer comes within the gateway's time
def test_start_api_answers_the_small_file_route(served: Served) -> None:
    sample = bundled("hello_world")

    answer = served.transcribe("hello.wav", sample.media.read_bytes())

    assert answer.status_code == 200, answer.text
    assert same_words(answer.json()["text"], sample.text)


@pytest.mark.usefixtures("job")
def test_the_walk_of_the_page_prints_the_transcript_twice(
    sam: Sam, served: Served, tmp_path: Path
) -> None:
    bash = shutil.which("bash")
    lane("curl", shutil.which("curl") and bash, "there is no curl or no bash")
    sample = bundled()
    page = (sam.project / "docs" / "sam-local.md").read_text()
    [walk] = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    walk = walk.replace("http://127.0.0.1:3000", served.address)

    done = subprocess.run(
        [str(bash), "-euo", "pipefail", "-c", walk.replace("speech.flac", str(sample.media))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=_DONE_S,
    )

    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.strip().splitlines()
    assert same_words(json.loads(first)["text"], sample.text)
    assert same_words(last, sample.text)


@pytest.mark.usefixtures("job")
def test_start_api_refuses_in_json(served: Served) -> None:
    speech = {"file": ("fox.wav", bundled().media.read_bytes())}
    unnamed = requests.post(f"{served.address}/transcribe/tiny.en", files=speech, timeout=_DONE_S)
    unknown = served.post("/transcribe/no-such-model", files=speech)
    broken = served.transcribe("noise.mp3", bytes(range(256)) * 64)

    assert [answer.status_code for answer in (unnamed, unknown, broken)] == [401, 404, 415]
    for answer in (unnamed, unknown, broken):
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["detail"]


def test_the_emulator_and_the_api_are_on_loopback_alone(sam: Sam, served: Served) -> None:
    ids = docker("ps", "--quiet", "--filter", f"network={_SERVED}").stdout.split()
    published = docker("inspect", "--format", "{{json .NetworkSettings.Ports}}", *ids).stdout

    ports = [port for line in published.splitlines() for port in json.loads(line).values() if port]
    assert ports
    assert {binding["HostIp"] for port in ports for binding in port} == {"127.0.0.1"}


def test_invoke_hands_a_bucket_drop_to_the_worker(sam: Sam) -> None:
    event = sam.project / "tests" / "events" / "sam" / "worker_drop.json"

    answer = sam.invoke("WorkerFunction", "--event", str(event), name=_INVOKED)

    assert answer == {"batchItemFailures": []}
    rendered = sam.storage(_INVOKED).get_object(
        Bucket=BUCKET, Key="outbox/default/quick_brown_fox.wav.txt"
    )
    assert same_words(rendered["Body"].read().decode(), bundled().text)


def test_invoke_finds_what_start_api_made(sam: Sam, served: Served, job: dict[str, Any]) -> None:
    waits = served.post("/v1/jobs", json={"filename": "later.wav", "size": 1000})
    assert waits.status_code == 201
    schedule = sam.project / "tests" / "events" / "sam" / "sweep_schedule.json"

    swept = sam.invoke("SweepFunction", "--event", str(schedule), name=_SERVED)
    told = sam.invoke("NotifierFunction", "--job", job["job_id"], name=_SERVED)

    assert swept["Pending"] >= 1  # nobody has uploaded that one
    assert told == {"batchItemFailures": []}
