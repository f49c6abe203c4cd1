"""The README's walks, copied as they stand; only the port and the file's name are put in."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import RunningStack
from tests.lanes import lane
from tests.recordings import bundled, manifest
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_README = Path(__file__).parents[2] / "README.md"
_WALKS = 6


def _walks() -> list[tuple[str, str]]:
    """Language and text of every block that talks to the API."""
    blocks = [(match[1], match[2]) for match in _BLOCK.finditer(_README.read_text())]
    return [(language, text) for language, text in blocks if "http://127.0.0.1:8000" in text]


def _run(walk: tuple[str, str], stack: RunningStack, media: Path, cwd: Path) -> str:
    language, text = walk
    if language == "bash":
        lane("curl", shutil.which("curl") and shutil.which("bash"), "there is no curl or no bash")
    text = text.replace("http://127.0.0.1:8000", stack.address).replace("speech.flac", str(media))
    command = ["bash", "-euo", "pipefail", "-c"] if language == "bash" else [sys.executable, "-c"]
    # The `whisperdrop` command lies beside the Python that runs this.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "WHISPERDROP_CACHE_DIR": str(cwd / "cache")}
    done = subprocess.run(
        [*command, text],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_a_walk_for_every_door_that_answers_with_text() -> None:
    walks = _walks()

    assert len(walks) == _WALKS
    assert sum("/transcribe/" in text for _, text in walks) == 2
    assert sum("/v1/jobs" in text for _, text in walks) == 2
    assert sum("from openai import" in text for _, text in walks) == 1
    assert sum("whisperdrop transcribe" in text for _, text in walks) == 1


@pytest.mark.parametrize("number", range(_WALKS))
def test_a_walk_prints_the_transcript(number: int, stack: RunningStack, tmp_path: Path) -> None:
    sample = bundled()

    printed = _run(_walks()[number], stack, sample.media, tmp_path)

    assert any(same_words(_text(line), sample.text) for line in printed.splitlines()), printed


@pytest.mark.shared
@pytest.mark.parametrize("number", range(_WALKS))
def test_a_walk_works_on_other_recordings(
    number: int, stack: RunningStack, tmp_path: Path, project_root: Path
) -> None:
    clips = [line for line in manifest(project_root) if "ljspeech" in str(line.path)]

    printed = _run(_walks()[number], stack, clips[0].path, tmp_path)

    said = set(re.findall(r"\w+", (clips[0].text or "").lower()))
    heard = set(re.findall(r"\w+", printed.lower()))
    assert len(said & heard) > 0.8 * len(said), printed


def _text(line: str) -> str:
    """The text of a line that may be the JSON of the small-file route."""
    match = re.match(r'\{"text":"(.*?)","language"', line)
    return match[1] if match else line
