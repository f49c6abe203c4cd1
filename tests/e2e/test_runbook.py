"""Every command of docs/runbook.md, run once, in the state that it is for."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.running import RunningStack, stack_on_free_ports
from tests.lanes import lane
from tests.recordings import bundled
from whisperdrop.domain import keys
from whisperdrop.domain.events import direct_message
from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.webhook_signature import new_secret

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "runbook.md"
_TIMEOUT_S = 300  # a busy machine is no bug
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(bash|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ANY_BLOCK = re.compile(r"^```(\w*)$", re.MULTILINE)
_WHICH = "Which stack"
_JOB = "zd37mn5sqxizuhhygj9taqzoi"
_REQUEST = "0123456789abcdef0123456789abcdef"
TENANT = "default"


def _sections() -> dict[str, list[str]]:
    """The commands under each heading."""
    parts = _SECTION.split(PAGE.read_text())
    return {
        title: [text for language, text in _BLOCK.findall(body) if language == "bash"]
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


@dataclass
class Night:
    """A stack on which things go wrong, and the commands that are typed on it."""

    stack: RunningStack
    client: Client
    folder: Path

    def type(self, section: str, job: str = _JOB, request_id: str = _REQUEST) -> str:
        """Run a section's commands with ids of ours in place of the page's; what they say."""
        commands = _sections()
        script = "\n".join([*commands[_WHICH], "set -x", *commands[section]])
        for shown, real in (
            ("http://127.0.0.1:4566", self.stack.stack.endpoint),
            ("http://127.0.0.1:8000", self.stack.address),
            (".local/logs", str(self.stack.data_dir / "logs")),
            (_JOB, job),
            (_REQUEST, request_id),
        ):
            script = script.replace(shown, real)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        done = subprocess.run(
            [str(shutil.which("bash")), "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            env=environment | {"TMPDIR": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def paused(self) -> "Paused":
        """The worker, which does nothing meanwhile."""
        return Paused(self.stack.stack.child("worker").pid)

    def dead_letter(self, queue: str, body: str) -> None:
        url = self.stack.sqs.get_queue_url(QueueName=f"whisperdrop-{queue}-dlq")["QueueUrl"]
        self.stack.sqs.send_message(QueueUrl=url, MessageBody=body)


@dataclass
class Paused:
    """A process that is there and does nothing."""

    pid: int

    def __enter__(self) -> None:
        os.killpg(self.pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        os.killpg(self.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def night(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    tools = all(shutil.which(tool) for tool in ("bash", "curl", "jq"))
    lane("curl", tools, "there is no curl, no bash or no jq")
    lane("awscli", (ROOT / ".venv-aws" / "bin" / "aws").exists(), "there is no .venv-aws/bin/aws")
    assert Path(sys.executable).parent == ROOT / ".venv" / "bin"
    folder = tmp_path_factory.mktemp("night")
    # Nothing is repaired but by hand.
    with stack_on_free_ports(project_root, folder / "stack", sweep_interval_seconds=3600) as stack:
        yield Night(stack, Client(stack.address, stack.api_key), folder)


def test_commands_that_are_not_run_here_say_that_they_need_aws() -> None:
    page = PAGE.read_text()

    assert {*_ANY_BLOCK.findall(page)} <= {"bash", "sh", ""}
    for language, text in _BLOCK.findall(page):
        assert (language == "sh") == text.startswith("# AWS\n"), text


def test_every_section_with_commands_has_a_test() -> None:
    with_commands = {title for title, commands in _sections().items() if commands}

    assert with_commands == {_WHICH, *SECTIONS}


def test_every_alarm_and_no_other_is_explained() -> None:
    template = (ROOT / "infra" / "monitoring.yaml").read_text()
    alarms = set(re.findall(r'AlarmName: !Sub "whisperdrop-\$\{Stage\}-([a-z-]+)"', template))
    section = PAGE.read_text().partition("## Alarms")[2]
    explained = {
        name
        for line in section.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([a-z-]+)`", line.split("|")[1])
    }

    assert alarms
    assert explained == alarms


def test_links_lead_to_headings_and_pages_that_are_there() -> None:
    page = PAGE.read_text()
    anchors = {title.lower().replace(" ", "-") for title in _SECTION.findall(page)}

    for target in re.findall(r"\]\(([^)]+)\)", page):
        path, _, anchor = target.partition("#")
        assert (anchor in anchors) if not path else (PAGE.parent / path).is_file(), target


def _where_to_look(night: Night) -> None:
    job = night.client.submit(bundled().media)
    night.client.ended(job)
    request = night.stack.store.get(keys.request(JobRef(TENANT, job)))
    assert request is not None
    found = re.search(r'"correlation_id":"(\w+)"', request.body.decode())
    assert found is not None

    said = night.type("Where to look first", request_id=found[1])

    assert '"status":"ok"' in said.replace(" ", "")
    assert "BAD" not in said
    assert re.search(r"bulk +\d+ +\d+ +0", said)
    lines = [json.loads(line) for line in said.splitlines() if line.startswith('{"level"')]
    assert {line["correlation_id"] for line in lines} == {found[1]}
    assert {"worker", "api"} <= {line["service"].removeprefix("whisperdrop-") for line in lines}
    assert "job_ended" in {line["message"] for line in lines}


def _dead_letters(night: Night) -> None:
    ended = night.client.submit(bundled().media)
    night.client.ended(ended)
    with night.paused():
        waiting = night.client.submit(bundled().media)
        night.dead_letter("bulk", direct_message(JobRef(TENANT, ended)))
        night.dead_letter("bulk", direct_message(JobRef(TENANT, waiting)))
        night.dead_letter("bulk", "garbage")
        said = night.type("Dead letters")

    assert "3 dead letters of the bulk queue" in said
    assert f"{TENANT}/{ended}: succeeded; " in said
    assert f"{TENANT}/{waiting}: queued; it waits for a worker" in said
    assert "no known kind: garbage" in said
    assert "1 sent back, 1 deleted since their jobs have ended, 1 left" in said
    assert '"garbage"' in said  # looked at once more, then thrown away
    assert night.client.ended(waiting)["status"] == "succeeded"


def _stuck(night: Night) -> None:
    with night.paused():
        job = night.client.submit(bundled().media)
        said = night.type("A job that is stuck", job)

    assert f"{TENANT}/{job}: queued\n" in said
    assert said.count("it waits for a worker") == 2
    assert f"{TENANT}/{job}: queued again" in said
    assert f"{TENANT}/{job}: it is cancelled" in said
    assert night.client.job(job)["status"] == "cancelled"


def _sweep(night: Night) -> None:
    with night.paused():
        job = night.client.submit(bundled().media)
        queue = night.stack.queue("bulk")
        while message := queue.receive(wait_s=0, visibility_s=30):
            queue.delete(message)  # what a queue lost

        said = night.type("The sweep")

    assert said.count('"message":"sweep"') == 2
    assert job in said
    assert night.client.ended(job)["status"] == "succeeded"


def _poison(night: Night) -> None:
    media = night.folder / "poison.mp3"
    media.write_bytes(b"no audio at all" * 100)
    job = night.client.submit(media)
    night.client.ended(job)

    said = night.type("A file that breaks workers", job)

    assert "error         undecodable_media" in said
    assert f"{TENANT}/{job}: deleted" in said
    assert next(night.folder.glob("tmp.*/media")).read_bytes() == media.read_bytes()
    assert night.client.get(f"/v1/jobs/{job}").status_code == 404


def _disk(night: Night) -> None:
    assert re.search(r"\d+%", night.type("A full disk"))


def _store(night: Night) -> None:
    said = night.type("The store is away")

    assert "ok  conditional writes: a second create and a stale swap are refused" in said
    assert '"message":"sweep"' in said


def _keys(night: Night) -> None:
    before = Client(night.stack.address, _key(night, "acme"))
    assert before.get("/v1/usage").status_code == 200
    secret = new_secret()
    put = night.client.session.put(f"{night.stack.address}/v1/webhook", json={"secret": secret})
    assert put.status_code == 200, put.text

    said = night.type("Keys")

    assert re.search(r"^wd_\S+$", said, re.MULTILINE)
    states = re.findall(r"^[0-9a-f]{64}  acme  (\w+)  ", said, re.MULTILINE)
    assert sorted(states) == ["active", "revoked"]
    [rotated] = re.findall(r'"secret":"(whsec_[^"]+)"', said)
    assert rotated != secret


def _restore(night: Night) -> None:
    done = night.client.submit(bundled().media)
    night.client.ended(done)
    store, outcome = night.stack.store, keys.outcome(JobRef(TENANT, done))
    night.stack.s3.put_bucket_versioning(
        Bucket=night.stack.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    kept = store.get(outcome)
    assert kept is not None
    store.put(outcome, kept.body, "application/json")  # the first version of the versioned
    store.put(outcome, b'{"torn', "application/json")
    with night.paused():
        waiting, lost = (night.client.submit(bundled().media) for _ in range(2))
        # As in a copy that saw this job's documents, and its marker no more.
        store.delete(keys.pending(JobRef(TENANT, lost)))
        said = night.type("Backup and restore", done)

        restored = _of(night, "whisperdrop-restored")
        for job in (waiting, lost):
            found = restored(keys.outcome(JobRef(TENANT, job)))
            assert '"status":"succeeded"' in found
            assert restored(keys.transcript(JobRef(TENANT, job)))
    repaired = store.get(outcome)
    assert repaired is not None
    assert repaired.body == kept.body
    assert "1 marked as pending" in said
    assert lost in said


def _erase(night: Night) -> None:
    tenant = Client(night.stack.address, _key(night, "acme"))
    job = tenant.submit(bundled().media)
    tenant.ended(job)

    said = night.type("A tenant leaves")

    assert re.search(r"\d keys revoked, 1 jobs and 0 other objects deleted", said)
    left = {info.key.split("/")[0] for info in night.stack.store.list("") if "/acme/" in info.key}
    assert left <= {"usage", "jobs", "expiry", "notifications"}


SECTIONS: dict[str, Callable[[Night], None]] = {
    "Where to look first": _where_to_look,
    "Dead letters": _dead_letters,
    "A job that is stuck": _stuck,
    "The sweep": _sweep,
    "A file that breaks workers": _poison,
    "A full disk": _disk,
    "The store is away": _store,
    "Keys": _keys,
    "A tenant leaves": _erase,
    "Backup and restore": _restore,
}


@pytest.mark.parametrize("section", SECTIONS)
def test_its_commands_do_what_the_page_says(section: str, night: Night) -> None:
    SECTIONS[section](night)


def _key(night: Night, tenant: str) -> str:
    made = night.client.post("/v1/keys", json={"name": "laptop", "tenant": tenant})
    assert made.status_code == 201, made.text
    return str(made.json()["key"])


def _of(night: Night, bucket: str) -> Callable[[str], str]:
    s3 = night.stack.s3
    return lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
