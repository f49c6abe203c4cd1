"""What compose.yaml and its variants say, and who can read them."""

import os
import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
VARIANTS = {
    "minio": ("compose.yaml",),
    "emulator": ("compose.yaml", "compose.emulator.yaml"),
    "s3": ("compose.yaml", "compose.s3.yaml"),
}
V1 = "DOCKER_COMPOSE_V1"
"""Names docker-compose 1.29, where there is one."""

# docker-compose 1.29.2's schema, the last before v2: what compose files may say of a service.
_KEYS_OF_A_SERVICE = {
    *("build", "cap_add", "cap_drop", "command", "depends_on", "deploy", "devices", "dns"),
    *("entrypoint", "env_file", "environment", "expose", "extra_hosts", "healthcheck", "hostname"),
    *("image", "init", "labels", "logging", "mem_limit", "network_mode", "networks", "platform"),
    *("ports", "profiles", "read_only", "restart", "scale", "secrets", "security_opt", "shm_size"),
    *("stop_grace_period", "stop_signal", "sysctls", "tmpfs", "tty", "user", "volumes"),
    "working_dir",
}
_KEYS_OF_A_BUILD = {"context", "dockerfile", "args", "target", "cache_from", "labels", "network"}


def _load(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((DOCKER / name).read_text())
    assert isinstance(loaded, dict)
    return loaded


def _v2() -> list[str] | None:
    if (ours := ROOT / ".venv-compose" / "bin" / "docker-compose").is_file():
        return [str(ours)]
    if program := shutil.which("docker"):
        asked = subprocess.run([program, "compose", "version"], capture_output=True, check=False)
        return [program, "compose"] if asked.returncode == 0 else None
    return None


def _read(program: list[str], variant: str, **environ: str) -> dict[str, Any]:
    """The variant as that compose understands it."""
    files = [option for name in VARIANTS[variant] for option in ("-f", str(DOCKER / name))]
    if variant == "s3":
        environ = {"S3_ENDPOINT_URL": "https://s3.example.com"} | environ
    done = subprocess.run(
        [*program, "-p", "any", *files, "config"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)
    assert isinstance(read, dict)
    return read


@pytest.fixture(params=["v2", "v1"])
def compose(request: pytest.FixtureRequest) -> list[str]:
    """Both generations, where they are here."""
    if request.param == "v1":
        named = os.environ.get(V1)
        if not named:
            pytest.skip(f"{V1} names no docker-compose 1.29")
        return [named]
    found = _v2()
    if found is None:
        pytest.skip("there is neither .venv-compose nor `docker compose`")
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_generations_of_compose_read_every_variant(compose: list[str], variant: str) -> None:
    services = _read(compose, variant)["services"]

    # v1 lists what a profile leaves out, too.
    found = {name for name, service in services.items() if not service.get("profiles")}
    everything = {"minio", "localstack", "bridge", "sweep", "api", "worker", "notifier"}
    assert found == (everything - {"minio", "bridge"} if variant == "s3" else everything)


@pytest.mark.parametrize("name", sorted({*chain(*VARIANTS.values())}))
def test_the_files_say_nothing_that_docker_compose_1_29_does_not_know(name: str) -> None:
    text = (DOCKER / name).read_text()
    loaded = _load(name)

    assert {key for key in loaded if not key.startswith("x-")} <= {"services", "volumes"}
    assert "!reset" not in text
    assert "!override" not in text
    # A default inside a default is not read.
    assert not re.search(r"\$\{[^}]*\$\{", text)
    for service in loaded["services"].values():
        assert service.keys() <= _KEYS_OF_A_SERVICE
        assert service.get("build", {}).keys() <= _KEYS_OF_A_BUILD
        for condition in service.get("depends_on", {}).values():
            assert condition.keys() == {"condition"}


def test_another_store_needs_nothing_but_its_environment(compose: list[str]) -> None:
    mine = {
        "S3_ENDPOINT_URL": "https://objects.example.com",
        "S3_ACCESS_KEY_ID": "mine",
        "S3_SECRET_ACCESS_KEY": "secret",
        "S3_REGION": "eu-central-1",
        "S3_ADDRESSING_STYLE": "virtual",
        "BUCKET": "speech",
    }
    services = _read(compose, "s3", **mine)["services"]

    for name in ("api", "worker", "sweep", "notifier"):
        environment = services[name]["environment"]
        assert environment["AWS_ENDPOINT_URL_S3"] == mine["S3_ENDPOINT_URL"]
        assert environment["AWS_ACCESS_KEY_ID"] == "mine"
        assert environment["AWS_REGION"] == "eu-central-1"
        assert environment["S3_ADDRESSING_STYLE"] == "virtual"
        assert environment["BUCKET"] == "speech"
        assert not environment["S3_PUBLIC_ENDPOINT"]  # its one address is everybody's
    assert not services["sweep"]["environment"]["STORE_EVENTS_ARN"]
    # Nobody tells of uploads, so the sweep is what finds them.
    assert float(services["sweep"]["environment"]["SWEEP_INTERVAL_SECONDS"]) <= 5
    assert float(services["sweep"]["environment"]["REQUEUE_AFTER_SECONDS"]) <= 10


def test_minio_and_the_bridge_have_the_same_token_and_a_queue_on_disk(
    compose: list[str],
) -> None:
    services = _read(compose, "minio", BRIDGE_TOKEN="one for both")["services"]
    minio, bridge = services["minio"], services["bridge"]

    told = {
        name.removeprefix("MINIO_NOTIFY_WEBHOOK_").removesuffix("_WHISPERDROP"): value
        for name, value in minio["environment"].items()
        if name.startswith("MINIO_NOTIFY_WEBHOOK_")
    }
    assert told["AUTH_TOKEN"] == bridge["environment"]["BRIDGE_TOKEN"] == "one for both"
    assert told["ENDPOINT"] == "http://bridge:8000/events"
    assert told["ENABLE"] == "on"
    assert told["QUEUE_DIR"] in str(minio["volumes"])
    arn = services["sweep"]["environment"]["STORE_EVENTS_ARN"]
    assert arn == "arn:minio:sqs::WHISPERDROP:webhook"


def test_the_gpu_is_asked_for_where_there_is_one_and_nothing_else_is() -> None:
    gpu = _load("compose.yaml")["services"]["worker-gpu"]

    assert gpu["profiles"] == ["gpu"]
    assert gpu["build"]["target"] == "cuda"
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert gpu["read_only"] is True
    assert gpu["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", sorted({*chain(*VARIANTS.values())}))
def test_every_variant_publishes_on_loopback_only(name: str) -> None:
    services = _load(name)["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert all(port.startswith("127.0.0.1:") for port in ports), ports


@pytest.mark.parametrize("service", ["minio", "localstack", "prometheus", "grafana"])
def test_images_of_others_are_pinned_and_can_be_replaced(service: str) -> None:
    image = _load("compose.yaml")["services"][service]["image"]

    variable, _, default = image.removeprefix("${").removesuffix("}").partition(":-")
    assert variable == f"{service.upper()}_IMAGE"
    assert re.search(r":[\w.-]*\d[\w.-]*$", default)
    assert not default.endswith(":latest")
