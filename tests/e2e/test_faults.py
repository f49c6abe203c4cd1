"""Machines die: kill -9 of the worker, of the decoder, of everything. Nothing lost or doubled."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.client import Client
from tests.e2e.running import RunningStack, stack_on_free_ports
from tests.emulator import find_emulator
from tests.lanes import lane
from tests.processes import children, descendants, free_port
from tests.recordings import bundled, english_recording, long_recording
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]


def test_a_worker_killed_in_the_middle_of_a_job_is_replaced_and_the_job_is_done_once(
    project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGRESS_SECONDS", "0.2")
    monkeypatch.setenv("GUARD_LADDER", "false")  # nothing is sampled: every run says the same
    media = english_recording(tmp_path / "long.wav", seconds=150)
    with stack_on_free_ports(project_root, tmp_path / "stack") as stack:
        client = Client(stack.address, stack.api_key)
        job_id = client.submit(media)
        client.transcribing(job_id)

        stack.kill("worker")
        assert stack.stack.child("worker").check(), "the stack starts it again"
        job = client.ended(job_id)

        assert job["status"] == "succeeded"
        assert job["attempt"] == 2
        assert "brown fox jumps over the lazy dog" in client.text(job_id)
        undisturbed = client.submit(media)
        client.ended(undisturbed)
        assert client.text(job_id) == client.text(undisturbed)
        assert len(stack.events("worker", "job_started", job_id)) == 2
        assert len(stack.events("worker", "job_ended", job_id)) == 1
        assert len([key for key in stack.keys("usage/") if job_id in key]) == 1
        assert stack.keys("pending/") == []


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_what_a_killed_worker_had_finished_is_not_done_again(
    shared: bool, project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGRESS_SECONDS", "0.1")
    monkeypatch.setenv("GUARD_LADDER", "false")  # nothing is sampled: every run says the same
    if shared:
        monkeypatch.setenv("FANOUT_MIN_SECONDS", "100")
        monkeypatch.setenv("FANOUT_SPAN_SECONDS", "30")
        monkeypatch.setenv("FANOUT_ALWAYS", "true")
    # A recording of ten minutes is one chapter, which is not shared.
    media = english_recording(tmp_path / "long.wav", seconds=860 if shared else 240)
    with stack_on_free_ports(project_root, tmp_path / "stack") as stack:
        client = Client(stack.address, stack.api_key)
        job_id = client.submit(media)
        folder = f"jobs/default/{job_id}/parts/"
        _until(lambda: len(stack.keys(folder)) >= (1 if shared else 2), timeout_s=180)

        stack.kill("worker")
        saved = {key: stack.document(key) for key in stack.keys(folder)}
        raw = {key: _bytes(stack, key) for key in saved}
        last = list(saved.values())[-1]
        assert stack.stack.child("worker").check(), "the stack starts it again"
        first = _first_progress(client, job_id, attempt=2)
        _until(lambda: len(stack.keys(folder)) > len(saved), timeout_s=60)
        assert {key: _bytes(stack, key) for key in saved} == raw, "parts are written once"
        job = client.ended(job_id)

        assert (job["status"], job["attempt"]) == ("succeeded", 2)
        assert first["done_s"] >= last["end_s"] - 0.001
        if not shared:
            (resumed,) = stack.events("worker", "job_resumed", job_id)
            assert (resumed["parts"], resumed["done_s"]) == (len(saved), last["end_s"])
        segments = _segments(client, job_id)
        before = [segment["text"] for part in saved.values() for segment in part["segments"]]
        assert [segment["text"] for segment in segments[: len(before)]] == before
        undisturbed = client.submit(media)
        client.ended(undisturbed)
        assert segments == _segments(client, undisturbed)
        assert stack.keys(folder) == [], "they end with their job"


def _first_progress(client: Client, job_id: str, attempt: int) -> dict[str, Any]:
    """What ``attempt`` says of its progress when it first transcribes."""
    deadline = time.monotonic() + 60
    while True:
        job = client.job(job_id)
        progress: dict[str, Any] = job.get("progress") or {"stage": None}
        if job.get("attempt") == attempt and progress["stage"] == "transcribing":
            return progress
        assert time.monotonic() < deadline, f"still {job}"


def _bytes(stack: RunningStack, key: str) -> bytes:
    found = stack.store.get(key)
    assert found is not None, f"there is no {key}"
    return found.body


def _segments(client: Client, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/v1/jobs/{job_id}/transcript").json()["segments"]
    return found


def _until(done: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_worker_that_is_asked_to_stop_hands_its_job_back_at_once(
    project_root: Path, tmp_path: Path
) -> None:
    media = long_recording(tmp_path / "long.wav", seconds=90)
    with stack_on_free_ports(project_root, tmp_path / "stack", lease_seconds=600) as stack:
        client = Client(stack.address, stack.api_key)
        job_id = client.submit(media)
        client.running(job_id)

        worker = stack.stack.child("worker")
        worker.stop()
        worker.wait()
        lease = stack.document(f"jobs/default/{job_id}/lease.json")
        assert worker.check()
        job = client.ended(job_id, timeout_s=90)  # far less than the lease

        assert worker.process is not None
        assert lease["released"] is True
        assert lease["failures"] == 0
        assert job["status"] == "succeeded"
        assert len(stack.keys("usage/")) == 1


def test_a_crash_of_the_decoder_fails_its_own_job_only(
    client: Client, stack: RunningStack, tmp_path: Path
) -> None:
    worker = stack.stack.child("worker").pid
    # Over an hour of audio: its decoder runs for a moment.
    big = long_recording(tmp_path / "big.wav", seconds=4000)
    victim = client.submit(big)
    decoder = _decoder_of(worker, victim, client)
    os.kill(decoder, signal.SIGSEGV)
    other = client.submit(bundled().media)

    failed, fine = client.ended(victim), client.ended(other)

    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "decoder_crashed"
    assert "SIGSEGV" in failed["error"]["message"]
    assert fine["status"] == "succeeded"
    assert stack.stack.child("worker").pid == worker, "the worker itself goes on"


def _decoder_of(worker: int, job_id: str, client: Client) -> int:
    """The fork that decodes: a grandchild of the worker."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for server in children(worker):
            if forks := children(server):
                return forks[0]
    raise AssertionError(f"no decoder was seen: {client.job(job_id)}")


@pytest.fixture
def run(project_root: Path, tmp_path: Path) -> Iterator["_Run"]:
    """`make run`, not yet started; ended with the test."""
    run = _Run(project_root, tmp_path)
    yield run
    if run.process is not None and run.process.poll() is None:
        run.process.kill()  # its guardian ends the others
        run.process.wait()


class _Run:
    """`make run` as a process, with its family."""

    def __init__(self, project_root: Path, directory: Path) -> None:
        program = find_emulator(project_root)
        lane("emulator", program, "there is no .venv-emulator/bin/ministack")
        self.port = free_port()
        self.emulator_port = free_port()
        self.directory = directory
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
            "PORT": str(self.port),
            "EMULATOR_PORT": str(self.emulator_port),
            "DATA_DIR": str(directory / "data"),
            "MINISTACK": str(program),
            "API_KEY": "change-me",
        }
        self._log = directory / "run.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *wrapper: str) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", "whisperdrop_local", "run"],
                env=self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        began = self._log.read_text().count("Ctrl-C stops it")
        self._until(lambda: self._log.read_text().count("Ctrl-C stops it") > began)

    def _until(self, done: Any, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def family(self) -> list[int]:
        assert self.process is not None
        return [self.process.pid, *descendants(self.process.pid)]

    def kill_everything(self) -> None:
        pids = self.family()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)
        self._until(lambda: not any(_alive(pid) for pid in pids))

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def logged(self, child: str, message: str) -> list[dict[str, Any]]:
        path = self.directory / "data" / "logs" / f"{child}.log"
        lines = [json.loads(line) for line in path.read_text().splitlines() if line[:1] == "{"]
        return [line for line in lines if line.get("message") == message]


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_stack_killed_with_twenty_jobs_queued_finishes_them_all_once(
    run: _Run, tmp_path: Path
) -> None:
    run.start()
    client = Client(f"http://127.0.0.1:{run.port}", "change-me")
    media = long_recording(tmp_path / "media.wav", seconds=8)
    job_ids = [client.submit(media) for _ in range(20)]

    run.kill_everything()
    run.start()
    client = Client(f"http://127.0.0.1:{run.port}", "change-me")
    jobs = [client.ended(job_id) for job_id in job_ids]
    texts = [client.text(job_id) for job_id in job_ids]
    status = run.stop()

    assert [job["status"] for job in jobs] == ["succeeded"] * 20
    assert len(set(texts)) == 1
    assert "fox" in texts[0].lower()
    ended = Counter(line["job_id"] for line in run.logged("worker", "job_ended"))
    assert {ended[job_id] for job_id in job_ids} == {1}
    usage = list((tmp_path / "data" / "s3").rglob("usage/default/*/*.json"))
    records = [path.name for path in usage if not path.name.endswith(".meta.json")]  # sidecars
    counted = Counter(name.split("-")[0] for name in records)
    assert {counted[job_id] for job_id in job_ids} == {1}
    assert status == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stack_in_a_shell_without_job_control_stops_when_asked(
    run: _Run, number: signal.Signals
) -> None:
    run.start("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    family = run.family()

    assert run.stop(number) == 0
    assert not any(_alive(pid) for pid in family)


def test_no_child_outlives_a_parent_that_was_killed(run: _Run) -> None:
    run.start()
    family = run.family()
    assert len(family) >= 6, "the stack, its guardian, emulator, API, worker, decoder, sweep"

    os.kill(family[0], signal.SIGKILL)
    assert run.process is not None
    run.process.wait(10)

    deadline = time.monotonic() + 20
    while left := [pid for pid in family if _alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.1)


def test_a_second_stack_on_the_same_data_is_refused_with_advice(run: _Run) -> None:
    run.start()

    second = subprocess.run(
        [sys.executable, "-m", "whisperdrop_local", "run"],
        env=run.environment | {"PORT": "0", "EMULATOR_PORT": "0"},
        cwd=run.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == 1
    assert "DATA_DIR" in second.stderr
    assert requests.get(f"http://127.0.0.1:{run.port}/health", timeout=5).ok


def test_the_demo_transcribes_and_leaves_nothing(project_root: Path, tmp_path: Path) -> None:
    program = find_emulator(project_root)
    lane("emulator", program, "there is no .venv-emulator/bin/ministack")
    demo = subprocess.run(
        [sys.executable, "-m", "whisperdrop_local", "demo"],
        env={**os.environ, "MINISTACK": str(program), "DATA_DIR": str(tmp_path / "data")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert demo.returncode == 0, demo.stderr
    heard = next(line for line in demo.stdout.splitlines() if line.startswith("heard:"))
    assert same_words(heard.removeprefix("heard:").rpartition("(")[0], bundled().text)
    assert list((tmp_path / "data").iterdir()) == []
