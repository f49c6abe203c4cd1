"""docs/air-gapped.md, in a network namespace that has nothing but a loopback."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emulator import find_emulator
from tests.lanes import lane
from tests.recordings import bundled
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "air-gapped.md"
_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
_UNSHARE = ("unshare", "--map-root-user", "--net")
_TIMEOUT_S = 300


def _blocks() -> list[str]:
    return _BLOCK.findall(PAGE.read_text())


def _without_network(script: str, cwd: Path) -> str:
    """What a script says where no address outside can be reached; skips where there is no way."""
    tools = all(shutil.which(tool) for tool in ("unshare", "ip", "bash"))
    able = tools and subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False)
    lane("netns", able and able.returncode == 0, "processes may not have a network of their own")
    # The page's own `unshare` makes another one inside of it.
    command = [*_UNSHARE, str(shutil.which("bash")), "-euo", "pipefail", "-c", script]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PIP_", "UV_"))}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_namespace_has_no_way_out(tmp_path: Path) -> None:
    # Else the other tests would prove nothing.
    script = (
        "python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 5)' 2>&1 || true"
    )

    assert "Network is unreachable" in _without_network(script, tmp_path)


def test_the_whole_stack_and_the_worker_alone_transcribe_without_a_network(tmp_path: Path) -> None:
    program = find_emulator(ROOT)
    lane("emulator", program, "there is no .venv-emulator/bin/ministack and MINISTACK names none")
    shutil.copy(bundled().media, tmp_path / "speech.flac")
    [block] = [text for text in _blocks() if "whisperdrop_local demo" in text]
    script = block.replace(".venv/bin/python", sys.executable)

    said = _without_network(
        f"export MINISTACK={program} HF_HUB_CACHE={tmp_path / 'hub'}\n{script}", tmp_path
    )

    heard = [line.partition(":")[2].rpartition("(")[0] for line in said.splitlines() if ":" in line]
    assert any(same_words(line, bundled().text) for line in heard), said
    assert same_words(said.splitlines()[-1], bundled().text), said


def test_a_lock_is_installed_from_what_was_carried_and_nothing_else(tmp_path: Path) -> None:
    wheels = ROOT / ".venv-sam" / "wheels"
    lane("sam", wheels.is_dir(), "there are no wheels in .venv-sam/wheels")
    shutil.copytree(wheels, tmp_path / "carried" / "wheels")
    locked = tmp_path / "layers" / "core"
    locked.mkdir(parents=True)
    shutil.copy(ROOT / "layers" / "core" / "requirements.txt", locked)
    [sums] = [text for text in _blocks() if "> SHA256SUMS" in text]
    [install] = [text for text in _blocks() if "layers/core/requirements.txt" in text]
    [check] = [
        line for text in _blocks() for line in text.splitlines() if "sha256sum --quiet" in line
    ]
    script = "\n".join(
        [sums, check, install.replace("python3 -m venv", f"{sys.executable} -m venv")]
    )

    script = f"export PIP_NO_COMPILE=1\n{script}"
    _without_network(f"{script}\napi/bin/python -c 'import fastapi, mangum, boto3'", tmp_path)

    # Another byte, and it is refused.
    wheel = next((tmp_path / "carried" / "wheels").glob("mangum-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"!")
    again = install.replace("python3 -m venv api", "true").replace(
        "--quiet", "--dry-run --force-reinstall"
    )
    with pytest.raises(AssertionError, match="DO NOT MATCH THE HASHES"):
        _without_network(again, tmp_path)
    with pytest.raises(AssertionError, match="FAILED"):
        _without_network(check, tmp_path)


def test_every_block_is_run_here_or_says_where_it_is() -> None:
    page = PAGE.read_text()
    elsewhere = re.findall(r"^```sh\n(.*)$", page, re.MULTILINE)

    assert len(_blocks()) == 4  # `make setup` with all wheels takes a minute: see the one below
    assert all(line == "# connected" or "make run" in line for line in elsewhere)


def test_what_is_carried_is_what_make_setup_installs() -> None:
    """So that `make setup` finds everything: the page's locks are those of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    setup = {"run", "samples", "emulator", "uv"}
    rules = [
        line for line in makefile.splitlines() if line.startswith(("$(VENV)/run", "$(VENV)/uv"))
    ]
    rules += [line for line in makefile.splitlines() if line.startswith(".venv-emulator/done:")]
    named = set(re.findall(r"requirements/([\w-]+)\.txt", "\n".join(rules)))
    carried = re.search(r"^for lock in (.+); do$", PAGE.read_text(), re.MULTILINE)

    assert named == setup
    assert carried is not None
    assert set(carried[1].split()) == setup
