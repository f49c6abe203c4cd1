"""OpenAI's JavaScript client against the running service: tests/openai_node/conformance.mjs."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import RunningStack
from tests.lanes import lane
from tests.recordings import bundled, english_recording
from whisperdrop.service.api_keys import ApiKeys
from whisperdrop.service.clock import utc_now
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

LONG_S = 100
_TIMEOUT_S = 150


@pytest.fixture(scope="module")
def report(
    openai_stack: RunningStack, project_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the client saw."""
    folder = project_root / "tests" / "openai_node"
    node = shutil.which("node")
    installed = (folder / "node_modules" / "openai" / "package.json").is_file()
    lane(
        "node", node and installed, "there is no node, or `make test` has not installed the client"
    )
    assert node is not None
    openai_stack.revive()
    keys = ApiKeys(openai_stack.store, environment_key=None, clock=utc_now)
    done = subprocess.run(
        [node, "conformance.mjs"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "ADDRESS": openai_stack.address,
            "KEY": openai_stack.api_key,
            "READER_KEY": keys.issue("default", "reader", scopes=("read",)),
            "SPEECH": str(bundled().media),
            "FRENCH": str(bundled("bonjour_monde", "fr").media),
            # Not as long as the Python client's, so that it is a job of its own.
            "LONG": str(english_recording(tmp_path_factory.mktemp("node") / "long.wav", LONG_S)),
        },
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_every_format_has_the_text(report: dict[str, Any]) -> None:
    said = bundled().text
    assert same_words(report["json"]["text"], said)
    assert report["json"]["usage"] == {"type": "duration", "seconds": 3}
    assert same_words(report["text"], said)
    assert report["srt"].startswith("1\n00:00:0")
    assert report["vtt"].startswith("WEBVTT\n\n")
    assert same_words(" ".join(word["word"] for word in report["verbose"]["words"]), said)
    assert report["verbose"]["segments"][0]["avg_logprob"] < 0


def test_every_option_is_taken_in_this_clients_spelling(report: dict[str, Any]) -> None:
    assert same_words(report["options"]["text"], bundled().text)
    spelled = b"".join(bytes(one["bytes"]) for one in report["options"]["logprobs"])
    assert spelled.decode().strip() == report["options"]["text"]
    assert report["bytes"] == report["json"]


def test_a_translation_is_english(report: dict[str, Any]) -> None:
    assert report["translation"].keys() == {"text"}
    assert "world" in report["translation"]["text"].lower()


def test_models_are_listed_and_retrieved(report: dict[str, Any]) -> None:
    assert report["models"] == ["tiny.en", "base"]
    assert report["model"]["id"] == "whisper-1"


def test_text_streams_while_the_audio_is_still_being_transcribed(report: dict[str, Any]) -> None:
    stream = report["stream"]
    assert stream["statusAtFirst"] == "running"
    assert stream["deltas"] > 3
    assert stream["done"]["type"] == "transcript.text.done"
    assert stream["joined"] == stream["done"]["text"] != ""


def test_a_long_file_is_fetched_by_this_clients_own_retry(
    report: dict[str, Any], openai_stack: RunningStack
) -> None:
    assert len(report["long"]) > 500
    paths = [line for line in openai_stack.log("api") if line["message"] == "request"]
    assert 503 in {line["status"] for line in paths if line["path"] == "/v1/audio/transcriptions"}


def test_errors_are_raised_as_the_clients_own(report: dict[str, Any]) -> None:
    seen = {
        case: (error["name"], error["status"], error["code"], error["param"])
        for case, error in report["errors"].items()
    }
    assert seen == {
        "badRequest": ("BadRequestError", 400, "invalid_value", "response_format"),
        "undecodable": ("BadRequestError", 400, "undecodable_media", "file"),
        "authentication": ("AuthenticationError", 401, "invalid_api_key", None),
        "permissionDenied": ("PermissionDeniedError", 403, "forbidden", None),
        "notFound": ("NotFoundError", 404, "model_not_found", "model"),
        "modelNotFound": ("NotFoundError", 404, "model_not_found", "model"),
    }
