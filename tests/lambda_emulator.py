"""Real handlers under the Lambda runtime interface emulator, as processes of this machine.

AWS ships the emulator for images; the SAM CLI carries it. Around ``python -m awslambdaric`` it
speaks the runtime API as Lambda does: the same bootstrap, the same event and context, the same
log. It needs no Docker.
"""

import base64
import contextlib
import copy
import hashlib
import json
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.processes import free_port, running, wait_until

_ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_INVOKE = "/2015-03-31/functions/function/invocations"
_TIMEOUT_S = 180


def find_lambda_emulator(project_root: Path) -> Path | None:
    """The emulator's program: AWS_LAMBDA_RIE in the environment, or out of the SAM CLI's package.

    It is a Linux program.
    """
    if named := os.environ.get("AWS_LAMBDA_RIE"):
        return Path(named) if Path(named).is_file() else None
    architecture = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or architecture is None:
        return None
    packages = project_root.glob(".venv-sam/lib/python3*/site-packages")
    programs = (p / f"samcli/local/rapid/aws-lambda-rie-{architecture}" for p in packages)
    return next((program for program in programs if program.is_file()), None)


@dataclass(frozen=True)
class LambdaFunction:
    """A function that answers events, one at a time."""

    url: str
    log: Path
    calls_s: list[float] = field(default_factory=list)
    """Wall seconds of every call; the first one has the cold start in it."""

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """The handler's answer, parsed."""
        began = time.monotonic()
        response = requests.post(self.url, json=event, timeout=_TIMEOUT_S)
        self.calls_s.append(time.monotonic() - began)
        assert response.status_code == 200, response.text
        return response.json()

    def lines(self) -> list[dict[str, Any]]:
        """Every JSON line that the function has printed: log and metrics."""
        text = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in text if line.startswith("{")]

    def timing(self) -> str:
        """Cold and warm time, for a person."""
        cold, *warm = (round(seconds * 1000, 1) for seconds in self.calls_s)
        return f"cold {cold:.0f} ms" + (f", warm {min(warm)} ms" if warm else "")


@contextlib.contextmanager
def lambda_function(
    program: Path,
    handler: str,
    *,
    environ: Mapping[str, str],
    directory: Path,
    timeout_s: int = 120,
    memory_mb: int = 1024,
) -> Iterator[LambdaFunction]:
    """``handler`` under the emulator on free ports of the loopback interface.

    It sees ``environ`` and nothing else of this process's environment.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "function.log"
    front, runtime_api = free_port(), free_port()
    command = [
        str(_executable(program, directory)),
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{front}",
        "--runtime-api-address",
        f"127.0.0.1:{runtime_api}",
        *(sys.executable, "-m", "awslambdaric", handler),
    ]
    lambdas_own = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "AWS_LAMBDA_FUNCTION_NAME": handler.split(".", 1)[0].replace("_", "-"),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "_HANDLER": handler,
    }
    with running(command, environ=lambdas_own | dict(environ), cwd=directory, log=log) as process:
        wait_until(lambda: _listens(front), process, log=log)
        yield LambdaFunction(f"http://127.0.0.1:{front}{_INVOKE}", log)


def _executable(program: Path, directory: Path) -> Path:
    """``program``, or a copy that may be run where the package lost its mode."""
    if os.access(program, os.X_OK):
        return program
    copy = directory / program.name
    shutil.copyfile(program, copy)
    copy.chmod(0o755)
    return copy


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def http_event(
    recorded: Mapping[str, Any],
    *,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes = b"",
) -> dict[str, Any]:
    """A ``recorded`` API Gateway event (payload 2.0) turned into another request.

    The body goes in base64, as API Gateway sends everything that is not text.
    """
    event = copy.deepcopy(dict(recorded))
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    event["requestContext"]["http"]["method"] = method
    event["headers"] = {
        **event["headers"],
        **{name.lower(): value for name, value in headers.items()},
        "content-length": str(len(body)),
    }
    event["body"] = base64.b64encode(body).decode()
    event["isBase64Encoded"] = True
    return event


def sqs_event(*records: dict[str, Any]) -> dict[str, Any]:
    """What Lambda's poller hands to a function."""
    return {"Records": list(records)}


def sqs_record(message_id: str, body: str, *, receives: int = 1) -> dict[str, Any]:
    """One message of a queue, as Lambda's poller writes it."""
    now = str(int(time.time() * 1000))
    return {
        "messageId": message_id,
        "receiptHandle": f"handle-of-{message_id}",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(receives),
            "SentTimestamp": now,
            "SenderId": "AIDAEXAMPLE",
            "ApproximateFirstReceiveTimestamp": now,
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:whisperdrop-bulk",
        "awsRegion": "us-east-1",
    }
