"""The real compose file on a real engine; emulators stand in for MinIO and LocalStack."""

import json
import re
import secrets
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from store_emulator.payload import webhook
from tests.docker.compose import API_KEY, BUCKET, SERVICES, Composed, composed, until
from tests.docker.conftest import Images
from tests.lanes import lane
from tests.recordings import bundled
from tests.standins import ROOT, build_image, docker
from whisperdrop_local.sample import same_words, transcribe

SAMPLE = bundled()
NOW = "2026-03-01T12:00:00.412Z"
_ENDED_S = 120
_RECEIVER = """
import http.server, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        print(self.headers["webhook-id"], flush=True)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8080), Receiver).serve_forever()
"""


@dataclass(frozen=True)
class Client:
    """A client as patient as one has to be with a service that restarts."""

    stack: Composed

    def _patiently(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        deadline = time.monotonic() + _ENDED_S
        headers = {"Authorization": f"Bearer {API_KEY}"} | kwargs.pop("headers", {})
        while True:
            try:
                answer = requests.request(
                    method, self.stack.address + path, headers=headers, timeout=30, **kwargs
                )
                if answer.status_code < 500:
                    return answer
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, f"{path} does not answer"
            time.sleep(0.2)

    def submit(self, **fields: Any) -> str:
        """Make a job and upload the sample; its id."""
        body = {"filename": "fox.wav", "size": SAMPLE.media.stat().st_size, **fields}
        key = {"Idempotency-Key": secrets.token_hex(8)}
        answer = self._patiently("POST", "/v1/jobs", json=body, headers=key)
        assert answer.status_code in {200, 201}, answer.text
        created = answer.json()
        upload = created["upload"]

        def stored() -> bool:
            put = requests.put(
                upload["url"],
                data=SAMPLE.media.read_bytes(),
                headers=upload["headers"],
                timeout=30,
            )
            # It is there already: an earlier try arrived, and its answer did not.
            return put.ok or put.status_code == 412

        until(stored, "uploaded")
        return str(created["job_id"])

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job when it has ended."""
        deadline = time.monotonic() + _ENDED_S
        while True:
            job: dict[str, Any] = self._patiently("GET", f"/v1/jobs/{job_id}?wait=5").json()
            if job["status"] not in {"awaiting_upload", "queued", "running"}:
                return job
            assert time.monotonic() < deadline, f"still {job}"

    def text(self, job_id: str) -> str:
        return self._patiently("GET", f"/v1/jobs/{job_id}/transcript?format=txt").text


@pytest.fixture(scope="module")
def stack(built_images: Images) -> Iterator[Composed]:
    """Up, with every container healthy."""
    emulator = build_image(
        "whisperdrop-emulator:tests", "ministack.Dockerfile", BASE_IMAGE=built_images.base
    )
    with composed(
        built_images.api,
        built_images.worker,
        emulator,
        LEASE_SECONDS="10",
        RECEIVE_WAIT_SECONDS="1",
        SWEEP_INTERVAL_SECONDS="5",
        REQUEUE_AFTER_SECONDS="30",
        WEBHOOK_RETRY_SECONDS="1,2,3,5,5,10,10,10,10",
        WEBHOOK_ALLOWED_NETWORKS="10.0.0.0/8,172.16.0.0/12,192.168.0.0/16",
        WEBHOOK_ALLOW_HTTP="true",
        WEBHOOK_PORTS="any",
    ) as stack:
        until(lambda: requests.get(f"{stack.address}/health", timeout=5).ok, "healthy")
        yield stack


@pytest.fixture
def client(stack: Composed) -> Client:
    return Client(stack)


@pytest.fixture
def receiver(stack: Composed) -> Iterator[str]:
    """A container beside the others that takes webhooks and prints their ids."""
    name = f"{stack.project}-receiver"
    image = stack.environ["EMULATOR_IMAGE"]
    where = ["--network", f"{stack.project}_default", "--network-alias", "receiver"]
    program = ["--entrypoint", "python", image, "-u", "-c", _RECEIVER]
    docker("run", "-d", "--rm", "--name", name, *where, *program)
    yield name
    docker("rm", "-f", name)


def _usage(stack: Composed) -> Counter[str]:
    """How many usage records each job has."""
    return Counter(key.rpartition("/")[2].partition("-")[0] for key in stack.keys("usage/"))


def test_a_presigned_upload_becomes_a_transcript(stack: Composed) -> None:
    text = transcribe(stack.address, API_KEY, SAMPLE)

    assert same_words(text, SAMPLE.text)


def test_one_correlation_id_goes_through_the_bridge(stack: Composed, client: Client) -> None:
    job_id = client.submit()
    assert client.ended(job_id)["status"] == "succeeded"

    def ids(service: str, message: str) -> set[object]:
        return {
            line.get("correlation_id")
            for line in stack.logs(service)
            if line.get("message") == message and job_id in json.dumps(line)
        }

    queued = ids("bridge", "event_queued") - {None}
    assert len(queued) == 1
    # The worker says so after the outcome is there.
    until(lambda: ids("worker", "job_ended") == queued, "logged", 20)


def test_every_container_is_as_confined_as_the_file_says(stack: Composed) -> None:
    names = [stack.container(service) for service in SERVICES if service != "localstack"]
    for found in json.loads(docker("inspect", *names).stdout):
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"], found["Name"]
        assert host["CapDrop"] == ["ALL"], found["Name"]
        assert not host["Privileged"], found["Name"]
        published = [port for ports in host["PortBindings"].values() for port in ports or ()]
        assert {port["HostIp"] for port in published} <= {"127.0.0.1"}, found["Name"]
        user = found["Config"]["User"]
        assert user.split(":")[0] not in {"", "0", "root"}, found["Name"]


def test_the_walk_of_the_docs_is_true(stack: Composed, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    tools = bash and all(shutil.which(tool) for tool in ("curl", "jq"))
    lane("curl", tools, "there is no curl, no bash or no jq")
    page = (ROOT / "docs" / "compose.md").read_text()
    (walk,) = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    walk = walk.replace("http://127.0.0.1:8000", stack.address).replace("change-me", API_KEY)
    shutil.copy(SAMPLE.media, tmp_path / "speech.flac")

    done = subprocess.run(
        [str(bash), "-euo", "pipefail", "-c", walk],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    status, text = done.stdout.strip().splitlines()
    assert status == "succeeded"
    assert same_words(text, SAMPLE.text)


NAMES = ("имя файла ünï dev 日本.wav", "a+b 100% & <co>.wav", "%41 %2F plus+plus.wav")


def test_minios_payloads_in_every_encoding_twice_and_among_garbage(
    stack: Composed, client: Client
) -> None:
    """The store tells of each drop by itself; the test tells of it three times more."""
    keys = [f"inbox/default/{name}" for name in NAMES]
    for key in keys:
        stack.s3.put_object(Bucket=BUCKET, Key=key, Body=SAMPLE.media.read_bytes())
    for key in keys:
        event = webhook(BUCKET, key, time=NOW, size=SAMPLE.media.stat().st_size)
        for body in (
            json.dumps(event).encode(),
            b'{"Records": [17]}',
            json.dumps(event, ensure_ascii=False).encode(),
            b"\xff not json",
            json.dumps(event).replace("%2F", "/").encode(),
        ):
            assert stack.post(body) == 204

    wanted = {f"outbox/default/{name}.txt" for name in NAMES}
    until(lambda: wanted <= set(stack.keys("outbox/")), "rendered")
    until(lambda: not stack.keys("pending/"), "ended")
    assert not [key for key in stack.keys("outbox/") if key.endswith(".error.json")]
    assert set(_usage(stack).values()) == {1}
    assert not [line for line in stack.logs("worker") if line.get("level") == "ERROR"]


def test_while_sqs_hangs_the_bridge_says_come_again_and_nothing_is_lost(
    stack: Composed, client: Client
) -> None:
    # Not `docker pause`, which gives up on a busy machine.
    docker("kill", "-s", "STOP", stack.container("localstack"))
    try:
        job_id = client.submit()
        event = webhook(BUCKET, f"uploads/default/{job_id}/fox.wav", time=NOW)
        began = time.monotonic()
        assert stack.post(json.dumps(event).encode()) == 503
        assert time.monotonic() - began < 30  # MinIO waits for a minute
        assert stack.post(b"garbage") == 204
        refused = [line for line in stack.logs("bridge") if line.get("message") == "queue_failed"]
        assert refused
    finally:
        docker("kill", "-s", "CONT", stack.container("localstack"))

    assert client.ended(job_id)["status"] == "succeeded"
    assert _usage(stack)[job_id] == 1


def test_every_container_in_turn_restarts_while_jobs_run_and_nothing_is_lost(
    stack: Composed, client: Client, receiver: str, tmp_path: Path
) -> None:
    jobs: list[str] = []
    failures: list[BaseException] = []
    restarted = threading.Event()

    def keep_submitting() -> None:
        try:
            while not restarted.is_set():
                jobs.append(client.submit(webhook_url="http://receiver:8080/hook"))
                restarted.wait(1)
        except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread
            failures.append(error)

    sending = threading.Thread(target=keep_submitting)
    sending.start()
    try:
        for service in SERVICES:
            before = len(jobs)
            stack.restart(service)
            until(lambda: len(jobs) > before or bool(failures), f"taking jobs after {service}")  # noqa: B023
    finally:
        restarted.set()
        sending.join()
    assert not failures

    ends = {job_id: client.ended(job_id) for job_id in jobs}
    assert {end["status"] for end in ends.values()} == {"succeeded"}
    assert same_words(client.text(jobs[-1]), SAMPLE.text)
    until(lambda: not stack.keys("pending/"), "settled")
    outcomes = [key for key in stack.keys("jobs/default/") if key.endswith("/outcome.json")]
    assert {job_id: sum(job_id in key for key in outcomes) for job_id in jobs} == dict.fromkeys(
        jobs, 1
    )
    usage = _usage(stack)
    assert {job_id: usage[job_id] for job_id in jobs} == dict.fromkeys(jobs, 1)
    told = {f"job_{job_id}" for job_id in jobs}
    until(lambda: told <= set(docker("logs", receiver).stdout.split()), "told of", 180)
