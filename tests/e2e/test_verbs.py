"""The command lines: API keys, and the worker's one-shot verb."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.running import RunningStack
from tests.recordings import bundled
from whisperdrop_local.sample import same_words

pytestmark = pytest.mark.emulator


def _verb(stack: RunningStack, cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=stack.stack.environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_key_is_made_listed_used_and_revoked(stack: RunningStack, tmp_path: Path) -> None:
    made = _verb(
        stack, tmp_path, "whisperdrop_api", "keys", "create", "--tenant", "acme", "--name", "laptop"
    )
    key = made.stdout.strip()
    listed = _verb(stack, tmp_path, "whisperdrop_api", "keys", "list").stdout
    digest = next(line.split()[0] for line in listed.splitlines() if "acme" in line)

    assert Client(stack.address, key).get("/v1/models").status_code == 200
    assert key not in listed
    assert key not in " ".join(stack.keys("keys/"))
    revoked = _verb(stack, tmp_path, "whisperdrop_api", "keys", "revoke", digest)
    assert revoked.returncode == 0
    assert "revoked" in _verb(stack, tmp_path, "whisperdrop_api", "keys", "list").stdout


def test_a_key_for_nobody_or_for_no_model_is_refused(stack: RunningStack, tmp_path: Path) -> None:
    create = ("whisperdrop_api", "keys", "create", "--name", "x", "--tenant")

    nobody = _verb(stack, tmp_path, *create, "Not A Tenant")
    nothing = _verb(stack, tmp_path, *create, "acme", "--models", "no-such-model")

    assert (nobody.returncode, nothing.returncode) == (1, 1)
    assert "tenant" in nobody.stderr
    assert "tiny.en" in nothing.stderr


def test_a_missing_setting_is_named(stack: RunningStack, tmp_path: Path) -> None:
    environment = stack.stack.environment
    environment.pop("BUCKET")
    for module in ("whisperdrop_api", "whisperdrop_worker"):
        done = subprocess.run(
            [sys.executable, "-m", module, "serve"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert "bucket" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.speech
@pytest.mark.parametrize("format_", ["txt", "json"])
def test_one_file_is_transcribed_without_any_service(
    stack: RunningStack, tmp_path: Path, format_: str
) -> None:
    sample = bundled()

    done = _verb(
        stack, tmp_path, "whisperdrop_worker", "transcribe", str(sample.media), "-f", format_
    )

    text = json.loads(done.stdout)["text"] if format_ == "json" else done.stdout
    assert done.returncode == 0, done.stderr
    assert same_words(text, sample.text)


@pytest.mark.speech
def test_a_transcription_leaves_nothing_in_the_home_directory(
    stack: RunningStack, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in stack.stack.environment.items() if not k.startswith("XDG_")}

    done = subprocess.run(
        [sys.executable, "-m", "whisperdrop_worker", "transcribe", str(bundled().media)],
        env=environment | {"HOME": str(home)},
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0
    assert list(home.rglob("*")) == []


@pytest.mark.speech
def test_one_uploaded_job_is_done_by_address(
    client: Client, stack: RunningStack, tmp_path: Path
) -> None:
    media = bundled().media
    created = client.create(media)
    address = f"s3://{stack.bucket}/uploads/default/{created['job_id']}/{media.name}"
    stack.stack.child("worker").stop()
    stack.stack.child("worker").wait()
    client.put(created, media)

    done = _verb(stack, tmp_path, "whisperdrop_worker", "transcribe", address)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "succeeded"
    assert same_words(client.text(created["job_id"]), bundled().text)


@pytest.mark.speech
def test_objects_of_a_list_are_transcribed_without_a_job_as_an_array_would(
    stack: RunningStack, tmp_path: Path
) -> None:
    sample = bundled()
    stack.s3.put_object(
        Bucket=stack.bucket, Key="archive/it's #1.flac", Body=sample.media.read_bytes()
    )
    named = f"s3://{stack.bucket}/archive/none.flac\ns3://{stack.bucket}/archive/it's #1.flac\n"
    stack.s3.put_object(Bucket=stack.bucket, Key="archive/list.txt", Body=named.encode())
    arguments = (
        *("whisperdrop_worker", "transcribe", f"s3://{stack.bucket}/archive/list.txt", "--list"),
        *("--lines", "1", "--format", "srt", "--output", f"s3://{stack.bucket}/texts/"),
    )

    missing = _verb(stack, tmp_path, *arguments)
    done = _verb(stack, tmp_path, *arguments, "--index", "1")
    again = _verb(stack, tmp_path, *arguments, "--index", "1")

    assert (missing.returncode, json.loads(missing.stdout)["error"]) == (1, "media_missing")
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    assert written["output"] == f"s3://{stack.bucket}/texts/archive/it's #1.flac.srt"
    key = written["output"].removeprefix(f"s3://{stack.bucket}/")
    text = stack.s3.get_object(Bucket=stack.bucket, Key=key)["Body"].read().decode()
    assert "-->" in text
    assert json.loads(again.stdout)["skipped"]


@pytest.mark.speech
@pytest.mark.parametrize(
    ("media", "status", "says"),
    [
        ("missing.flac", 2, "there is no file"),
        ("s3://elsewhere/uploads/x", 2, "neither under uploads/ nor inbox/"),
        ("garbage.mp3", 1, "not audio that can be decoded"),
    ],
)
def test_what_cannot_be_transcribed_says_why(
    stack: RunningStack, tmp_path: Path, media: str, status: int, says: str
) -> None:
    (tmp_path / "garbage.mp3").write_bytes(b"no audio " * 1000)

    done = _verb(stack, tmp_path, "whisperdrop_worker", "transcribe", media)

    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr
