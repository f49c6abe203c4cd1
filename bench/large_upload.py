"""``python -m bench.large_upload``: a large upload in parts, interrupted and resumed.

Plain requests against the API over the emulator, whose objects lie in files: what is measured is
that the API's memory does not grow with the file, since no byte of it passes through the API. The
emulator's own memory does grow, because it joins the parts in memory. Needs as much disk as twice
the file.
"""

import argparse
import hashlib
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from tests.e2e.client import TIMEOUT_S, Client
from tests.e2e.lean import lean_api
from tests.emulator import find_emulator

_ROOT = Path(__file__).resolve().parent.parent
_MIB = 1024**2
_AT_ONCE = 2


def main() -> None:
    """Upload, kill half-way, resume, complete; print what it took."""
    parser = argparse.ArgumentParser(prog="bench.large_upload", description=__doc__)
    parser.add_argument("--bytes", type=int, default=2 * 1000**3)
    parser.add_argument("--folder", type=Path, help="where the emulator keeps the file")
    options = parser.parse_args()
    program = find_emulator(_ROOT)
    if program is None:
        parser.error("there is no emulator; run 'make setup'")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        directory = Path(folder)
        with lean_api(program, directory, directory / "data") as api:
            run(api.client, api.resident_bytes, options.bytes)


def run(client: Client, resident: Any, size: int) -> None:
    """One upload of ``size`` bytes; asserts what it promises."""
    began = time.monotonic()
    body = {"filename": "long.wav", "size": size}
    created = client.post("/v1/jobs", json=body).json()
    job = f"/v1/jobs/{created['job_id']}"
    part_size, parts = created["upload"]["part_size"], created["upload"]["parts"]
    before, most = resident(), 0
    print(f"{size:,} bytes in {parts} parts of {part_size // _MIB} MiB")

    def send(number: int) -> None:
        nonlocal most
        [part] = client.post(f"{job}/upload/parts", json={"numbers": [number]}).json()["parts"]
        data = _content(number, part["size"])
        answer = requests.put(part["url"], data=data, headers=part["headers"], timeout=TIMEOUT_S)
        answer.raise_for_status()
        most = max(most, resident())

    def send_all(numbers: list[int]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as beside:
            list(beside.map(send, numbers))

    send_all(list(range(1, parts // 2 + 1)))
    print(f"interrupted after {parts // 2} parts, {time.monotonic() - began:.1f} s")
    state = client.get(f"{job}/upload").json()  # all that whoever resumes has to ask
    there = {part["number"] for part in state["uploaded"] if part["size"] == part_size}
    missing = [number for number in range(1, parts + 1) if number not in there]
    assert len(missing) == parts - parts // 2
    send_all(missing)
    joined = time.monotonic()
    done = client.post(f"{job}/upload/complete")
    assert done.status_code == 200, done.text
    assert done.json()["status"] == "queued", done.text
    took = time.monotonic() - began
    most = max(most, resident())
    print(f"completed in {time.monotonic() - joined:.1f} s; in all {took:.1f} s")
    print(f"memory of the API: {before / _MIB:.1f} MiB before, {most / _MIB:.1f} MiB at most")
    address = client.get(f"{job}/media", params={"redirect": False}).json()["url"]
    for number in (1, parts // 2 + 1, parts):
        start = (number - 1) * part_size
        ranged = {"Range": f"bytes={start}-{min(size, start + part_size) - 1}"}
        answer = requests.get(address, headers=ranged, timeout=TIMEOUT_S)
        assert answer.status_code == 206
        sent = _content(number, len(answer.content))
        assert hashlib.sha256(answer.content).digest() == hashlib.sha256(sent).digest()
    assert most - before < 64 * _MIB


def _content(number: int, size: int) -> bytes:
    """Bytes that tell which part they are."""
    return (f"part {number:05}\n".encode() * (size // 11 + 1))[:size]


if __name__ == "__main__":
    main()
