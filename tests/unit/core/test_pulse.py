import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from whisperdrop import pulse
from whisperdrop.adapters.memory import MemoryJobQueue
from whisperdrop.errors import StoreError
from whisperdrop.ports import JobQueue, Message
from whisperdrop.pulse import Pulse, main
from whisperdrop.service.clock import utc_now
from whisperdrop.service.watched import WatchedQueue


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the check looks."""
    path = tmp_path / "pulse"
    monkeypatch.setenv(pulse.VARIABLE, str(path))
    return path


def _age(file: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(file, (then, then))


def test_a_process_that_gets_on_is_alive(file: Path) -> None:
    Pulse(file).beat()

    assert main([]) == 0


def test_one_that_has_not_begun_is_not_alive_yet(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 1
    assert "no sign of life yet" in capsys.readouterr().out


def test_too_long_a_silence_is_told_with_its_length(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Pulse(file, silence_s=60).beat()
    _age(file, 61)

    assert main([]) == 1
    assert "61 s ago, 60 s are too long" in capsys.readouterr().out


def test_a_process_says_itself_which_silence_is_too_long(file: Path) -> None:
    Pulse(file, silence_s=900).beat()
    _age(file, 600)

    assert main([]) == 0
    assert main(["300"]) == 1, "whoever asks may be stricter"


def test_the_second_sign_of_life_counts_like_the_first(file: Path) -> None:
    life = Pulse(file)
    life.beat()
    _age(file, 600)
    life._beaten = time.monotonic() - 2

    life.beat()

    assert main([]) == 0


def test_without_a_file_there_is_nothing_to_ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(pulse.VARIABLE, raising=False)
    Pulse(None).beat()

    assert main([]) == 1
    assert "names no file" in capsys.readouterr().out


def test_a_full_disk_stops_no_work(tmp_path: Path) -> None:
    Pulse(tmp_path / "no folder" / "pulse").beat()


def test_the_check_imports_nothing_but_the_standard_library() -> None:
    program = "import sys, whisperdrop.pulse; print(sorted(m for m in sys.modules if 'pyd' in m))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert said.stdout.strip() == b"[]"


class _Failing(MemoryJobQueue):
    def receive(self, *, wait_s: int, visibility_s: int) -> Message | None:
        raise StoreError("the queue is down")


def _beats(queue: JobQueue, file: Path) -> bool:
    """Whether waiting for a message left a sign of life."""
    watched = WatchedQueue(queue, Pulse(file))
    with contextlib.suppress(StoreError):
        watched.receive(wait_s=0, visibility_s=1)
    return file.exists()


def test_an_empty_queue_is_a_sign_of_life_and_so_is_one_that_is_down(tmp_path: Path) -> None:
    assert _beats(MemoryJobQueue(utc_now), tmp_path / "empty")
    assert _beats(_Failing(utc_now), tmp_path / "down")


def test_who_renews_a_message_is_at_work(tmp_path: Path) -> None:
    queue = MemoryJobQueue(utc_now)
    queue.send("a job")
    message = queue.receive(wait_s=0, visibility_s=60)
    assert message is not None

    WatchedQueue(queue, Pulse(tmp_path / "pulse")).extend(message, 60)

    assert (tmp_path / "pulse").exists()
