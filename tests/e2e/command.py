"""Driving the `whisperdrop` command: with pipes, in a pseudo-terminal, and against a gate."""

import contextlib
import fcntl
import http.server
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
from faster_whisper import decode_audio

from tests.recordings import bundled

PROGRAM = Path(sys.executable).parent / "whisperdrop"
TIMEOUT_S = 120
_RATE = 16_000


@dataclass
class Command:
    """The command with one server, one key and a cache of its own."""

    url: str
    key: str
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "WHISPERDROP_URL": self.url,
            "WHISPERDROP_API_KEY": self.key,
            "WHISPERDROP_CACHE_DIR": str(self.folder / ".cache"),
            **self.variables,
        }

    def run(self, *arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [PROGRAM, *arguments],
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [PROGRAM, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what was started and goes on."""
        for process in self.started:
            process.kill()
            with process:  # closes its pipes
                pass

    def run_in_terminal(self, *arguments: str) -> tuple[int, str]:
        """In a pseudo-terminal of 100 columns: the exit status, and all that was written."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        process = subprocess.Popen(
            [PROGRAM, *arguments],
            env=self.environment | {"TERM": "xterm-256color"},
            cwd=self.folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        written = bytearray()
        deadline = time.monotonic() + TIMEOUT_S
        while select.select([master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            written += piece
        os.close(master)
        return process.wait(10), written.decode()


def without_escapes(written: str) -> str:
    """What a terminal's control sequences leave."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n")


def clips(folder: Path, count: int, seconds: float = 2.0, *, spoken: int = 1000) -> list[Path]:
    """So many short recordings, no two alike: English speech, after ``spoken`` of them silence."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = decode_audio(str(bundled("counting").media))
    length = round(seconds * _RATE)
    made = []
    for number in range(count):
        path = folder / f"clip-{number:03}.wav"
        start = number * 160 % max(1, len(samples) - length)
        piece = (samples[start : start + length] * 32767).astype("<i2").tobytes()
        with wave.open(str(path), "wb") as target:
            target.setnchannels(1)
            target.setsampwidth(2)
            target.setframerate(_RATE)
            target.writeframes(piece if number < spoken else bytes(len(piece)))
            target.writeframes(bytes(2 * number))
        made.append(path)
    return made


def padded(path: Path, size: int) -> Path:
    """A short recording in a WAV file of ``size`` bytes: the rest is a chunk that nobody reads."""
    media = bundled().media.read_bytes()
    junk = size - len(media) - 8
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", size - 8) + media[8:])
        file.write(b"junk" + struct.pack("<I", junk))
        file.truncate(size)
    return path


class Gate(http.server.ThreadingHTTPServer):
    """Passes requests on to the API, and holds those whose path ends in ``hold`` once ``after``
    of them have passed.
    """

    daemon_threads = True

    def __init__(self, address: str, hold: str, after: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.address = address
        self.hold = hold
        self.left = after
        self.holding = threading.Event()
        self.open = threading.Event()
        self.bodies: list[bytes] = []
        """Of the requests that were passed on, among those that it may hold."""
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def pass_or_hold(self, path: str, body: bytes) -> None:
        if not path.partition("?")[0].endswith(self.hold):
            return
        with self.lock:
            self.left -= 1
            held = self.left < 0 and not self.open.is_set()
            if not held:
                self.bodies.append(body)
        if held:
            self.holding.set()
            self.open.wait(TIMEOUT_S)
            with self.lock:
                self.bodies.append(body)


class _Passing(http.server.BaseHTTPRequestHandler):
    server: Gate
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.pass_or_hold(self.path, body)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {"host", "connection"}}
        answer = requests.request(
            self.command,
            self.server.address + self.path,
            data=body,
            headers=headers,
            timeout=TIMEOUT_S,
        )
        self.send_response(answer.status_code)
        for name in ("Content-Type", "Retry-After", "X-Request-Id"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_DELETE = _pass  # noqa: N815 - http.server's names

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the command was killed
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        pass


@contextmanager
def gate(address: str, hold: str, after: int = 0) -> Iterator[Gate]:
    """A gate before ``address`` for as long as it takes."""
    server = Gate(address, hold, after)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.open.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
