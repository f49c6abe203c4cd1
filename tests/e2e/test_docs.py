"""The code in docs/, run as it stands; only the address, keys and the names of files are put in.

A page's blocks of one language are one session: each goes on where the one before it ended.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from standardwebhooks import Webhook

from tests.e2e.client import Client
from tests.e2e.running import RunningStack
from tests.lanes import lane
from tests.recordings import bundled
from whisperdrop.domain.webhook_signature import new_secret
from whisperdrop_local.sample import same_words

pytestmark = [pytest.mark.emulator, pytest.mark.speech]

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(r"^```(bash|python|js|javascript)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TIMEOUT_S = 120
_FILES = ("speech.flac", "meeting.mp3", "talk.mp3", "big.mkv", "talks/a.mp3", "calls/b.mp3")


@dataclass(frozen=True)
class Session:
    """The blocks of a page, and what its reader has at hand: ``before``, and real names."""

    page: str
    language: str
    before: str = ""
    put_in: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    """A word of each block or line of shell that cannot be run here."""
    after: str = ""
    says: bool = True
    """Whether the text of the recording is printed."""


_JS_FILES = 'import { readFileSync } from "node:fs";\n'
_SESSIONS = (
    Session("openai", "bash"),
    Session("openai", "python", after="print(answer.text)"),
    Session("openai", "js"),
    Session("moving-from-openai", "bash", says=False),
    Session("moving-from-openai", "python"),
    Session("moving-from-openai", "js"),
    # Parts need a file of more than 128 MB.
    Session("jobs", "bash", left_out=("board.mp4",)),
    Session(
        "jobs",
        "python",
        before='from pathlib import Path\n_files = list(Path("calls").glob("*.mp3"))',
        after=textwrap.dedent("""
            body["upload"] = "multipart"
            again = http.post(f"{API}/v1/jobs", json=body | {"filename": "again.mp3"}).json()
            assert send(again["job_id"], media)["status"] != "awaiting_upload"
        """),
    ),
    Session(
        "jobs",
        "javascript",
        before=_JS_FILES
        + 'const file = new File([readFileSync("meeting.mp3")], "meeting.mp3");\n'
        + "const body = { filename: file.name, size: file.size };\n"
        + "const items = [body], audio = {};\n",
        after=textwrap.dedent("""
            const parts = { ...body, upload: "multipart", filename: "again.mp3" };
            const again = await call("POST", "/v1/jobs", parts);
            const sent = await send(again.job_id, file);
            if (sent.status === "awaiting_upload") throw new Error(sent.status);
            if (!audio.src || !(audio_s > 0) || job.status !== "succeeded") throw new Error();
        """),
        says=False,
    ),
    Session("observability", "bash"),
    Session("formats", "bash", before="export API=@address KEY=@key JOB=@job\n"),
    Session("formats", "python", put_in={"the job's id": "@job"}, after="print(answer.text)"),
    Session(
        "formats",
        "javascript",
        before='const [API, key, job, track] = ["@address", "@key", "@job", {}];\n',
        after='if (!track.src.startsWith("blob:")) throw new Error(track.src);',
        says=False,
    ),
    Session(
        "client",
        "bash",
        put_in={
            "--model base ": "--model tiny.en ",
            "revoke DIGEST": 'revoke "$(whisperdrop keys list | head -1 | cut -f1)"',
            "show ID": "show @job",
            "transcript ID": "transcript @job",
            "ID...": "@job",
        },
        # A model that is not served by default, a camera, and a shell of one's own.
        left_out=("*.m4a", "rtsp:", "--install-completion"),
        after="cat talk.txt",
    ),
    Session("client", "python"),
    Session("client", "javascript", after="if (!key || !digest) throw new Error();", says=False),
)


def _blocks(page: str, language: str) -> list[str]:
    found = _BLOCK.findall((DOCS / f"{page}.md").read_text())
    return [text for name, text in found if name == language]


def test_no_page_has_code_that_is_never_run() -> None:
    run = {(session.page, session.language) for session in _SESSIONS}
    there = {
        (page.stem, language)
        for page in DOCS.glob("*.md")
        for language, text in _BLOCK.findall(page.read_text())
        if page.stem not in {"architecture", "benchmarks", "engine", "settings"}
    }

    # The receiver is run below; its address has to be on the internet, and Express is not here.
    elsewhere = {("webhooks", "bash"), ("webhooks", "python"), ("webhooks", "js")}
    # test_runbook.py, test_air_gapped.py, tests/docker/test_sam_local.py
    elsewhere |= {("runbook", "bash"), ("air-gapped", "bash"), ("sam-local", "bash")}
    elsewhere |= {("compose", "bash")}  # tests/docker/test_compose.py
    assert there - run == elsewhere
    assert run <= there


@pytest.mark.parametrize("session", _SESSIONS, ids=lambda one: f"{one.page}-{one.language}")
def test_what_a_page_shows_works(
    session: Session, stack: RunningStack, client: Client, project_root: Path, tmp_path: Path
) -> None:
    for name in _FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(bundled().media, tmp_path / name)
    script = _script(session, stack, client)

    printed = _run(session.language, script, stack, project_root, tmp_path)

    lines = [line.strip() for line in printed.splitlines()]
    # Subtitles say it on more than one line.
    said = [*lines, *(" ".join(pair) for pair in pairwise(lines))]
    assert not session.says or any(same_words(line, bundled().text) for line in said), printed


def _script(session: Session, stack: RunningStack, client: Client) -> str:
    blocks = []
    for block in _blocks(session.page, session.language):
        if session.page == "client" and session.language == "bash":
            lines = block.splitlines(keepends=True)
            kept = [line for line in lines if not any(word in line for word in session.left_out)]
            blocks.append("".join(kept) if "curl" not in block else "")
        elif not any(word in block for word in session.left_out):
            blocks.append(_awaited(block) if session.language == "python" else block)
    text = "\n".join([session.before, *blocks, session.after])
    for placeholder, name in session.put_in.items():
        assert placeholder in text, f"{session.page} does not say {placeholder!r}"
        text = text.replace(placeholder, name)
    if "@job" in text:
        job_id = client.submit(bundled().media)
        client.ended(job_id)
        text = text.replace("@job", job_id)
    text = text.replace("LOGS=.local/logs", f"LOGS={stack.data_dir}/logs")
    # One tenant runs all sessions, and the key of a request is not for another one's.
    text = text.replace("order-4711", f"order-{session.language}")
    text = text.replace("http://127.0.0.1:8000", stack.address).replace("@address", stack.address)
    return text.replace("@key", stack.api_key).replace("change-me", stack.api_key)


def _awaited(block: str) -> str:
    """A block of the async client is shown without the function that it has to be in."""
    if not re.search(r"^async with", block, re.MULTILINE):
        return block
    return (
        f"async def main():\n{textwrap.indent(block, '    ')}\nimport asyncio\nasyncio.run(main())"
    )


def _run(language: str, script: str, stack: RunningStack, root: Path, cwd: Path) -> str:
    if language == "python":
        command = [sys.executable, "-c", script]
    elif language == "bash":
        tools = all(shutil.which(tool) for tool in ("bash", "curl", "jq"))
        lane("curl", tools, "there is no curl, no bash or no jq")
        command = ["bash", "-euo", "pipefail", "-c", script]
    else:
        modules = root / "tests" / "openai_node" / "node_modules"
        node = shutil.which("node")
        lane("node", node and (modules / "openai").is_dir(), "there is no node with its packages")
        (cwd / "node_modules").symlink_to(modules)
        (cwd / "script.mjs").write_text(script)
        command = [str(node), "script.mjs"]
    environment = os.environ | {
        # The `whisperdrop` command lies beside the Python that runs this.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "WHISPERDROP_URL": stack.address,
        "WHISPERDROP_API_KEY": stack.api_key,
        "WHISPERDROP_CACHE_DIR": str(cwd / "cache"),
    }
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{script}"
    return done.stdout


def test_the_receiver_of_webhooks_takes_what_is_signed_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    [block] = _blocks("webhooks", "python")
    secret = new_secret()
    names: dict[str, object] = {}
    exec(compile(block.replace("whsec_…", secret), "docs/webhooks.md", "exec"), names)  # noqa: S102
    body = '{"type": "job.succeeded", "data": {"job_id": "zd37mn5sqxizuhhygj9taqzoi"}}'
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "job_zd37mn5sqxizuhhygj9taqzoi",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("job_zd37mn5sqxizuhhygj9taqzoi", now, body),
    }

    with TestClient(names["app"]) as receiver:  # type: ignore[arg-type]
        taken = receiver.post("/hooks/whisperdrop", content=body, headers=headers)
        refused = receiver.post("/hooks/whisperdrop", content=f"{body} ", headers=headers)

    assert (taken.status_code, refused.status_code) == (204, 400)
    assert capsys.readouterr().out == "job.succeeded zd37mn5sqxizuhhygj9taqzoi\n"
