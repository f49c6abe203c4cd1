"""Files made to harm: each fails its own job, reaches nothing, and the next job is served."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Client
from tests.e2e.running import RunningStack
from tests.integration.test_decode import DAY, flac_silence
from tests.processes import descendants
from tests.recordings import bundled
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

GIGABYTE = 1024.0  # in MB


@dataclass
class Listener:
    """An address of the loopback interface that counts who connects."""

    server: socket.socket
    visits: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.getsockname()[1]}/secret.ts"

    def accept(self) -> None:
        """Until the socket is closed."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                self.visits += 1
                connection.close()

    def strangers(self) -> int:
        """How many came before this visit of ours, which proves that it counts."""
        with socket.create_connection(self.server.getsockname(), timeout=10) as ours:
            assert ours.recv(1) == b"", "accepted, counted, closed"
        assert self.visits >= 1
        return self.visits - 1


@pytest.fixture
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = Listener(server)
        thread = threading.Thread(target=listener.accept, daemon=True)
        thread.start()
        yield listener
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.fixture(autouse=True)
def next_job_is_served(client: Client, stack: RunningStack) -> Iterator[None]:
    """After whatever a test sent: the same worker does a good job right away."""
    worker = stack.stack.child("worker").pid
    yield
    job_id = client.submit(bundled().media)
    assert client.ended(job_id)["status"] == "succeeded"
    assert same_words(client.text(job_id), bundled().text)
    stack.revive()  # starts a worker that died, under another pid
    assert stack.stack.child("worker").pid == worker


def _failure(client: Client, media: Path) -> dict[str, Any]:
    """The error of the job for ``media``."""
    job = client.ended(client.submit(media))
    assert job["status"] == "failed", job
    error: dict[str, Any] = job["error"]
    return error


@pytest.mark.parametrize("name", ["x.mp3", "x.wav", "x.mp4"])
def test_a_list_of_files_does_not_make_the_worker_read_them(
    client: Client, tmp_path: Path, name: str
) -> None:
    media = tmp_path / name
    media.write_text(f"ffconcat version 1.0\nfile '{bundled().media}'\n")

    error = _failure(client, media)

    assert error["code"] == "undecodable_media"
    assert "not one of those accepted" in error["message"]


@pytest.mark.parametrize("name", ["x.mp3", "x.mp4"])
def test_a_playlist_makes_the_worker_call_nobody(
    client: Client, listener: Listener, tmp_path: Path, name: str
) -> None:
    media = tmp_path / name
    media.write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{listener.url}\n#EXT-X-ENDLIST\n"
    )

    presigned = _failure(client, media)
    at_once = client.transcribe(media)

    assert presigned["code"] == "undecodable_media"
    assert (at_once.status_code, at_once.json()["code"]) == (415, "undecodable_media")
    assert listener.strangers() == 0


@pytest.mark.parametrize("declared", [DAY, 60], ids=["honest header", "lying header"])
def test_a_day_of_silence_is_refused_at_little_cost(
    client: Client, stack: RunningStack, tmp_path: Path, declared: int
) -> None:
    media = flac_silence(tmp_path / "silence.flac", DAY, declared)
    assert media.stat().st_size < 400_000

    with _peaks(stack.stack.child("worker").pid) as peaks:
        error = _failure(client, media)

    assert error["code"] == "audio_too_long"
    assert "12 hours" in error["message"]
    print(f"\npeak memory in MB: {peaks}")
    assert peaks.worker > 50, "it was measured"
    assert peaks.worker + peaks.decoders < GIGABYTE


@dataclass
class Peaks:
    """Largest resident memory, in MB: of the worker, and of all the processes below it, added."""

    worker: float = 0.0
    decoders: float = 0.0
    _each: dict[int, float] = field(default_factory=dict, repr=False)

    def look(self, worker: int) -> None:
        self.worker = _peak_mb(worker)
        for pid in descendants(worker):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
                self._each[pid] = _peak_mb(pid)
        self.decoders = sum(self._each.values())


@contextlib.contextmanager
def _peaks(worker: int) -> Iterator[Peaks]:
    """Watches the worker and its decoders, which come and go, from now on."""
    Path(f"/proc/{worker}/clear_refs").write_text("5")  # forget the peak of earlier tests
    peaks, over = Peaks(), threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peaks.look(worker)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join(10)
        peaks.look(worker)


def _peak_mb(pid: int) -> float:
    """VmHWM, which the kernel keeps: no peak falls between two looks."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
