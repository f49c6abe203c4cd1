"""The images as they are run in earnest: confined, on real speech, asked whether they live."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.docker.backend import Backend, new_backend
from tests.docker.conftest import Images
from tests.docker.containers import HOST_NETWORK, NO_NETWORK, container, output_of
from tests.docker.lambda_image import image_function
from tests.emulator import Emulator
from tests.lambda_emulator import find_lambda_emulator, http_event, sqs_event, sqs_record
from tests.lanes import lane
from tests.processes import free_port
from tests.recordings import bundled
from tests.standins import ROOT, docker
from whisperdrop_local.sample import same_words

MB = 1_000_000
MAX_WORKER_BYTES = 500 * MB
"""Without weights, on a base image of 162 MB; 460 MB when this was written."""
MAX_API_BYTES = 220 * MB
WEIGHTS_BYTES = (70 * MB, 80 * MB)

SBOM = "/opt/whisperdrop/sbom.cdx.json"
POLLER_HEALTH = ("--health-interval", "1s", "--health-timeout", "3s", "--health-retries", "2")


def _inspect(image: str) -> dict[str, Any]:
    [found] = json.loads(docker("image", "inspect", image).stdout)
    assert isinstance(found, dict)
    return found


def _layers(image: str) -> list[tuple[str, int]]:
    """Instruction and bytes of each layer, the oldest first."""
    lines = docker(
        *("history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image)
    ).stdout.splitlines()
    parts = (line.partition(" ") for line in reversed(lines))
    return [(instruction, int(size)) for size, _, instruction in parts]


def _copied(image: str) -> list[int]:
    return [size for instruction, size in _layers(image) if "COPY" in instruction]


@pytest.fixture(params=["api", "worker"])
def image(request: pytest.FixtureRequest, built_images: Images) -> str:
    """Each of the two."""
    return str(getattr(built_images, request.param))


def test_the_worker_is_small_and_its_weights_are_a_layer_of_their_own(
    built_images: Images,
) -> None:
    packages, weights, code = _copied(built_images.worker)

    size = int(_inspect(built_images.worker)["Size"]) - weights
    print(
        f"\nworker: {size / MB:.0f} MB, of them {packages / MB:.0f} packages, {code / MB:.0f} ours"
    )
    assert size <= MAX_WORKER_BYTES
    assert WEIGHTS_BYTES[0] < weights < WEIGHTS_BYTES[1]


def test_the_api_is_small(built_images: Images) -> None:
    assert int(_inspect(built_images.api)["Size"]) <= MAX_API_BYTES


def test_an_image_says_what_it_is_and_runs_as_nobody(image: str, built_images: Images) -> None:
    config = _inspect(image)["Config"]

    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD", "no shell: it would hide a signal"
    labels = config["Labels"]
    assert labels["org.opencontainers.image.base.name"] == built_images.base
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.title"] == image.partition(":")[0]
    version = ROOT / "layers/core/whisperdrop/__init__.py"
    assert f'"{labels["org.opencontainers.image.version"]}"' in version.read_text()


def test_an_image_cannot_be_written_to_and_installs_nothing(image: str) -> None:
    program = (
        "import os, pathlib, importlib.util as u\n"
        "print(os.getuid(), u.find_spec('pip'), u.find_spec('torch'))\n"
        "try: pathlib.Path('/opt/whisperdrop/x').touch()\n"
        "except OSError as error: print(error.strerror)"
    )

    said = output_of(image, "-c", program, options=("--entrypoint", "python"))

    assert said.splitlines() == ["10001 None None", "Read-only file system"]


def test_a_start_compiles_nothing(image: str) -> None:
    """Every module that a start imports has its bytecode in the image, and it is taken."""
    main = "whisperdrop_worker" if "worker" in image else "whisperdrop_api"
    program = (
        f"import sys, os, {main}.__main__\n"
        "print([m.__name__ for m in list(sys.modules.values()) if getattr(m, '__cached__', None)"
        " and m.__file__.endswith('.py') and not os.path.exists(m.__cached__)])"
    )

    assert output_of(image, "-c", program, options=("--entrypoint", "python")).strip() == "[]"


def test_real_speech_comes_out_right_without_a_network(built_images: Images) -> None:
    sample = bundled()
    options = ("--volume", f"{sample.media}:/in.wav:ro")

    said = output_of(
        built_images.worker, "whisperdrop_worker", "transcribe", "/in.wav", options=options
    )

    assert same_words(said, sample.text)


def test_the_bill_of_materials_lists_what_is_in_the_image(image: str) -> None:
    listed = json.loads(output_of(image, SBOM, options=("--entrypoint", "cat")))
    program = (
        "import json, subprocess, importlib.metadata as m\n"
        "query = ['dpkg-query', '-W', '-f', '${Package} ${Version} ${db:Status-Status}\\n']\n"
        "debian = subprocess.run(query, capture_output=True, text=True, check=True).stdout\n"
        "python = sorted({(d.metadata['Name'], d.version) for d in m.distributions()})\n"
        "print(json.dumps([python, debian]))"
    )

    said = output_of(image, "-c", program, options=("--entrypoint", "python"))

    python, debian = json.loads(said)
    installed = [line.split()[:2] for line in debian.splitlines() if line.endswith(" installed")]
    assert len(python) > 20
    assert len(installed) > 50
    components = listed["components"]
    of_python = [c for c in components if c.get("purl", "").startswith("pkg:pypi/")]
    of_debian = [c for c in components if c.get("purl", "").startswith("pkg:deb/")]
    assert sorted([c["name"], c["version"]] for c in of_python) == python
    assert sorted([c["name"], c["version"]] for c in of_debian) == sorted(installed)
    assert [c["name"] for c in components if c["type"] == "platform"] == ["python"]


@pytest.fixture(scope="module")
def program(project_root: Path) -> Path:
    found = find_lambda_emulator(project_root)
    lane("rie", found, "there is none in .venv-sam, and AWS_LAMBDA_RIE names none")
    assert found is not None
    return found


@pytest.fixture
def backend(emulator: Emulator, request: pytest.FixtureRequest) -> Backend:
    """A bucket and queues of the test's own."""
    return new_backend(emulator, f"images-{abs(hash(request.node.name)):x}")


@pytest.mark.emulator
@pytest.mark.speech
def test_under_lambda_the_worker_transcribes_what_a_queue_hands_it(
    built_images: Images, program: Path, backend: Backend, tmp_path: Path
) -> None:
    handler = "whisperdrop_worker.lambda_handler.handler"
    with image_function(
        program, built_images.worker, handler, environ=backend.environ, directory=tmp_path
    ) as (function, running):
        for name in ("first", "second"):
            text = backend.drop(name)
            answer = function.invoke(sqs_event(sqs_record(name, backend.take(name))))
            assert answer == {"batchItemFailures": []}, running.log()
            assert same_words(backend.text(text), bundled().text)
        print(f"\nworker's image under Lambda: {function.timing()}")


@pytest.mark.emulator
def test_under_lambda_the_api_answers_from_its_image(
    built_images: Images, program: Path, backend: Backend, tmp_path: Path
) -> None:
    recorded = ROOT / "tests/events/gateway/api_gateway_v2_create_job.json"
    event = http_event(json.loads(recorded.read_text()), method="GET", path="/health", headers={})
    handler = "whisperdrop_api.handler.handler"
    environ = backend.environ | {"API_KEY": "change-me"}
    with image_function(
        program, built_images.api, handler, environ=environ, directory=tmp_path
    ) as (function, running):
        assert function.invoke(event)["statusCode"] == 200, running.log()
        assert function.invoke(event)["statusCode"] == 200
        print(f"\nAPI's image under Lambda: {function.timing()}")


@pytest.mark.emulator
@pytest.mark.speech
def test_a_poller_is_healthy_until_it_is_stuck_and_hands_back_what_it_has_at_sigterm(
    built_images: Images, backend: Backend
) -> None:
    check = ("--health-cmd", "python -m whisperdrop.pulse 4", *POLLER_HEALTH)
    environ = backend.environ | {"RECEIVE_WAIT_SECONDS": "1"}
    with container(built_images.worker, options=(*HOST_NETWORK, *check), environ=environ) as worker:
        worker.wait_for_health("healthy")
        assert same_words(backend.text(backend.drop("polled")), bundled().text)

        worker.signal("STOP")
        worker.wait_for_health("unhealthy")
        worker.signal("CONT")
        worker.wait_for_health("healthy")

        assert worker.stop(grace_s=20) == 0, worker.log()
        assert "worker_stopped" in worker.log()


@pytest.mark.emulator
def test_an_api_is_healthy_until_it_is_stuck(built_images: Images, backend: Backend) -> None:
    environ = backend.environ | {"API_KEY": "k", "HOST": "127.0.0.1", "PORT": str(free_port())}
    with container(
        built_images.api, options=(*HOST_NETWORK, *POLLER_HEALTH), environ=environ
    ) as api:
        api.wait_for_health("healthy")
        api.signal("STOP")
        api.wait_for_health("unhealthy")


@pytest.mark.parametrize("role", ["whisperdrop_dispatcher", "whisperdrop_notifier"])
@pytest.mark.emulator
def test_the_other_roles_of_the_api_image_give_a_sign_of_life(
    built_images: Images, backend: Backend, role: str
) -> None:
    command = (role, "serve") if role.endswith("notifier") else (role,)
    check = ("--health-cmd", "python -m whisperdrop.pulse", *POLLER_HEALTH)
    environ = backend.environ | {"RECEIVE_WAIT_SECONDS": "1"}
    with container(
        built_images.api, *command, options=(*HOST_NETWORK, *check), environ=environ
    ) as running:
        running.wait_for_health("healthy")


def test_a_container_that_has_not_begun_to_poll_is_not_healthy(built_images: Images) -> None:
    asked = docker(
        *("run", "--rm", *NO_NETWORK, built_images.worker, "whisperdrop.pulse"), check=False
    )

    assert (asked.returncode, asked.stdout) == (1, "no sign of life yet\n")
