"""The README's walks, copied as they stand; only the port and the file's name are put in."""

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
    done = subprocess.run(
        [*command, text], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_a_walk_for_both_routes_in_both_languages() -> None:
    walks = _walks()

    assert sorted(language for language, _ in walks) == ["bash", "bash", "python", "python"]
    assert sum("/transcribe/" in text for _, text in walks) == 2
    assert sum("/v1/jobs" in text for _, text in walks) == 2


@pytest.mark.parametrize("number", range(4))
def test_a_walk_prints_the_transcript(number: int, stack: RunningStack, tmp_path: Path) -> None:
    sample = bundled()

    printed = _run(_walks()[number], stack, sample.media, tmp_path)

    assert any(same_words(_text(line), sample.text) for line in printed.splitlines()), printed


@pytest.mark.shared
@pytest.mark.parametrize("number", range(4))
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
