"""The `whisperdrop` command against the whole service."""

import json
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.e2e.command import Command, clips, gate, padded, without_escapes
from tests.e2e.running import RunningStack
from tests.recordings import bundled, english_recording
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

HOSTILE = b"ffconcat version 1.0\nfile /etc/passwd\n"
LARGE = 200 * 1024**2  # above the size from which uploads go in parts


@pytest.fixture
def command(stack: RunningStack, tmp_path: Path) -> Iterator[Command]:
    """With a key of a tenant that nobody else uses, which may manage keys too."""
    tenant = f"t{uuid.uuid4().hex[:12]}"
    operator = Client(stack.address, stack.api_key)
    body = {"name": "test", "tenant": tenant, "scopes": ["read", "write", "admin"]}
    created = operator.post("/v1/keys", json=body)
    assert created.status_code == 201, created.text
    command = Command(stack.address, created.json()["key"], tmp_path)
    yield command
    command.end()


@pytest.fixture
def client(command: Command) -> Client:
    """With the same key."""
    return Client(command.url, command.key)


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_folder_of_thirty_clips_in_a_terminal(command: Command, tmp_path: Path) -> None:
    talks = tmp_path / "talks"
    clips(talks, 29, spoken=6)
    (talks / "evil.mp3").write_bytes(HOSTILE)

    status, written = command.run_in_terminal("transcribe", "talks", "-f", "srt,txt", "-o", "out")

    screen = without_escapes(written)
    assert status == 1, screen
    assert "of 30 files" in screen
    assert "━" in screen
    assert "✗ talks/evil.mp3: " in screen
    assert screen.count("✓ talks/clip-") == 29
    assert "29 succeeded, 1 failed in " in screen
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") > 0, "the cursor is back"
    expected = {f"clip-{n:03}.{kind}" for n in range(29) for kind in ("srt", "txt")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    assert " --> " in (tmp_path / "out" / "clip-000.srt").read_text()

    again = command.run("transcribe", "talks", "-f", "srt,txt", "-o", "out", "--json")
    states = [line["status"] for line in lines(again.stdout)]
    assert (again.returncode, states.count("skipped"), states.count("failed")) == (1, 29, 1)


def test_a_piped_run_has_plain_lines_and_no_colors(command: Command, tmp_path: Path) -> None:
    media = clips(tmp_path, 2)

    done = command.run("transcribe", *map(str, media))

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "\x1b" not in done.stderr
    assert done.stderr.count("done: ") == 2
    assert "2 succeeded in" in done.stderr
    assert media[0].with_suffix(".txt").read_text().strip()


def test_standard_input_becomes_standard_output(command: Command) -> None:
    sample = bundled()
    done = command.run("transcribe", "-", stdin=sample.media.read_bytes())
    assert done.returncode == 0, done.stderr
    assert same_words(done.stdout, sample.text)


def test_what_was_transcribed_is_not_transcribed_again(command: Command, client: Client) -> None:
    media = bundled().media
    first = command.run("transcribe", str(media), "-o", "one", "--json")
    second = command.run("transcribe", str(media), "-o", "two", "-f", "vtt", "--json")
    other = command.run("transcribe", str(media), "-o", "two", "--word-timestamps", "--json")

    (one,), (two,), (three,) = lines(first.stdout), lines(second.stdout), lines(other.stdout)
    assert (one["deduplicated"], two["deduplicated"], three["deduplicated"]) == (False, True, False)
    assert one["job_id"] == two["job_id"] != three["job_id"]
    assert (command.folder / "two" / f"{media.stem}.vtt").read_text().startswith("WEBVTT")
    assert len(client.get("/v1/jobs").json()["data"]) == 2


def test_a_killed_upload_goes_on_where_it_was(command: Command, client: Client) -> None:
    padded(command.folder / "large.wav", LARGE)
    with gate(command.url, "/upload/parts", after=2) as door:
        command.url = door.url
        killed = command.start("transcribe", "large.wav")
        assert door.holding.wait(60)
        (job,) = client.get("/v1/jobs").json()["data"]
        before = _uploaded(client, job["job_id"], 2)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        door.bodies.clear()
        door.open.set()

        done = command.run("transcribe", "large.wav", "--json")

        signed = {n for body in door.bodies if body for n in json.loads(body)["numbers"]}
    (result,) = lines(done.stdout)
    assert (done.returncode, result["job_id"]) == (0, job["job_id"]), done.stderr
    assert len(before) == 2
    assert signed
    assert not signed & before, "what the store had was sent again"
    assert same_words((command.folder / "large.txt").read_text(), bundled().text)


def _uploaded(client: Client, job_id: str, count: int) -> set[int]:
    """The parts that the store has, as soon as there are so many."""
    deadline = time.monotonic() + 60
    while True:
        parts = client.get(f"/v1/jobs/{job_id}/upload").json()["uploaded"]
        if len(parts) >= count:
            return {part["number"] for part in parts}
        assert time.monotonic() < deadline, parts


def test_ctrl_c_cancels_what_it_started(command: Command, client: Client) -> None:
    english_recording(command.folder / "long.wav", 300)
    process = command.start("transcribe", "long.wav")
    job_id = _first_job(client)
    client.running(job_id)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130, err
    assert "cancelling 1 jobs" in err
    assert "Traceback" not in err
    assert client.ended(job_id)["status"] == "cancelled"
    assert not list(command.folder.glob("*.txt"))


def test_a_second_ctrl_c_leaves_at_once(command: Command, client: Client) -> None:
    padded(command.folder / "large.wav", LARGE)
    with gate(command.url, "/cancel") as cancelling, gate(cancelling.url, "/upload/parts") as door:
        command.url = door.url
        process = command.start("transcribe", "large.wav")
        assert door.holding.wait(60)
        process.send_signal(signal.SIGINT)
        assert cancelling.holding.wait(10)
        process.send_signal(signal.SIGINT)
        assert process.wait(2) == 130
    client.post(f"/v1/jobs/{_first_job(client)}/cancel")


def test_with_keep_ctrl_c_cancels_nothing(command: Command, client: Client) -> None:
    padded(command.folder / "large.wav", LARGE)
    with gate(command.url, "/upload/parts", after=1) as door:
        command.url = door.url
        process = command.start("transcribe", "large.wav", "--keep")
        assert door.holding.wait(60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "goes on where this one was" in err
    job_id = _first_job(client)
    assert client.job(job_id)["status"] == "awaiting_upload"
    client.post(f"/v1/jobs/{job_id}/cancel")


def _first_job(client: Client) -> str:
    deadline = time.monotonic() + 60
    while not (jobs := client.get("/v1/jobs").json()["data"]):
        assert time.monotonic() < deadline
    return str(jobs[0]["job_id"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("transcribe", "missing.mp3"), "missing.mp3: No such file"),
        (("transcribe", "."), "no recordings"),
        (("transcribe", "x.mp3", "-f", "doc"), "doc"),
        (("transcribe", "x.mp3", "-f", "srt,vtt", "-o", "-"), "one format"),
        (("transcribe", "x.mp3", "--metadata", "novalue"), "name=value"),
        (("nonsense",), "nonsense"),
    ],
)
def test_a_wrong_command_line_is_two(
    command: Command, arguments: tuple[str, ...], says: str
) -> None:
    if "." not in arguments:
        (command.folder / "x.mp3").write_bytes(b"x")
    done = command.run(*arguments)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_no_server_and_no_valid_key_are_three(command: Command) -> None:
    (command.folder / "x.mp3").write_bytes(b"x")
    nobody = Command("http://127.0.0.1:9", command.key, command.folder)
    stranger = Command(command.url, "wd_wrong", command.folder)

    for wrong, says in ((nobody, "no answer from 127.0.0.1:9"), (stranger, "not valid")):
        for verb in (("transcribe", "x.mp3"), ("models",)):
            done = wrong.run(*verb)
            assert (done.returncode, says in done.stderr) == (3, True), done.stderr


def test_a_transcript_that_is_there_stays_unless_forced(command: Command) -> None:
    media = clips(command.folder, 1)[0]
    target = media.with_suffix(".txt")
    target.write_text("mine")

    kept = command.run("transcribe", str(media))
    assert (kept.returncode, target.read_text()) == (0, "mine")
    assert "skipped" in kept.stderr
    assert command.run("transcribe", str(media), "--force").returncode == 0
    assert target.read_text() != "mine"
    assert {p.name for p in command.folder.iterdir()} == {".cache", media.name, target.name}


def test_jobs_are_listed_shown_cancelled_and_deleted(command: Command, client: Client) -> None:
    media = clips(command.folder, 1)[0]
    made = command.run("transcribe", str(media), "--metadata", "case=42", "--json")
    job_id = lines(made.stdout)[0]["job_id"]
    waiting = client.create(media)["job_id"]

    listed = lines(command.run("jobs", "list", "--json").stdout)
    plain = command.run("jobs", "list", "--status", "succeeded").stdout.split("\t")
    shown = command.run("jobs", "show", job_id).stdout
    text = command.run("jobs", "transcript", job_id, "-f", "srt").stdout
    cancelled = command.run("jobs", "cancel", waiting, "nosuchjob")
    deleted = command.run("jobs", "delete", job_id, waiting)

    assert [job["job_id"] for job in listed] == [waiting, job_id]
    assert (plain[0], plain[1]) == (job_id, "succeeded")
    assert "case:" in shown
    assert "succeeded" in shown
    assert " --> " in text
    assert (cancelled.returncode, cancelled.stdout) == (1, f"{waiting}\tcancelled\n")
    assert "nosuchjob: " in cancelled.stderr
    assert deleted.returncode == 0, deleted.stderr
    assert command.run("jobs", "list").stdout == ""
    assert command.run("jobs", "show", job_id).returncode == 1


def test_keys_are_made_listed_used_and_revoked(command: Command) -> None:
    made = command.run("keys", "create", "laptop", "--scope", "read")
    key = made.stdout.strip()
    listed = lines(command.run("keys", "list", "--json").stdout)
    digest = next(found["digest"] for found in listed if found["name"] == "laptop")
    reader = Command(command.url, key, command.folder)

    assert key.startswith("wd_")
    assert reader.run("models").stdout == "tiny.en\n"
    refused = reader.run("keys", "list")
    assert (refused.returncode, "'admin' scope" in refused.stderr) == (3, True)
    revoked = command.run("keys", "revoke", digest[:12])
    assert (revoked.returncode, revoked.stdout) == (0, f"{digest}\trevoked\n")
    assert reader.run("models").returncode == 3
    assert command.run("keys", "revoke", "0" * 12).returncode == 1


def test_usage_counts_what_was_transcribed(command: Command) -> None:
    media = clips(command.folder, 1)[0]
    assert command.run("transcribe", str(media)).returncode == 0
    (used,) = lines(command.run("usage", "--json").stdout)
    assert used["jobs"] == 1
    assert used["audio_s"] == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_it(command: Command, shell: str) -> None:
    command.variables = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = command.run("--show-completion", shell)
    assert (shown.returncode, "whisperdrop" in shown.stdout) == (0, True), shown.stderr
