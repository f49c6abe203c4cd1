"""``python -m whisperdrop_local.sam``: the functions under `sam local`, with storage and queues.

``start-api`` serves until Ctrl-C: the API behind SAM's API Gateway, the other functions behind
SAM's Lambda, fed from the queues. ``invoke`` hands one event to one function. ``down`` removes the
emulator that both start. ``make sam-local``, ``sam-invoke`` and ``sam-down`` call this.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from whisperdrop_local.deploy import DeployError
from whisperdrop_local.guardian import Guardian
from whisperdrop_local.processes import Child, ChildDiedError
from whisperdrop_local.sam_events import of_job
from whisperdrop_local.sam_queues import Feed
from whisperdrop_local.sam_storage import (
    NAME,
    ROOT,
    SamLocalError,
    SamStorage,
    docker,
    remove,
    remove_functions,
    storage,
)
from whisperdrop_local.sam_template import (
    for_sam_local,
    image_functions,
    read,
    write,
    zip_functions,
)

_LOOPBACK = "127.0.0.1"
_START_S = 60.0
_WARM_S = 240.0
_FED = {
    "WorkerFunction": ("INTERACTIVE_QUEUE_URL", "BULK_QUEUE_URL"),
    "NotifierFunction": ("NOTIFY_QUEUE_URL",),
}
"""Functions and the variables that name their queues, the most urgent first."""


@dataclass(frozen=True)
class Sam:
    """A built template made ready, and how to call `sam` on it."""

    program: Path
    template: Path
    storage: SamStorage
    invoke_images: tuple[str, ...]

    def command(self, verb: str, *arguments: str) -> list[str]:
        """``sam local`` with what every verb needs."""
        network = self.storage.network
        images = [f"--invoke-image={one}" for one in self.invoke_images]
        return [
            *(str(self.program), "local", verb, *arguments),
            *("--template", str(self.template)),
            *(["--docker-network", network] if network else []),
            *(["--skip-pull-image", *images] if images else []),
        ]

    @property
    def environment(self) -> dict[str, str]:
        """Of `sam` itself; its credentials become those of the functions."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not (self.storage.credentials and name.startswith("AWS_"))
        }
        mine = {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(ROOT / ".local" / "sam")}
        return kept | mine | dict(self.storage.credentials)


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, and answer with an exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.verb == "down":
            remove(options.name)
            return 0
        with _prepared(options) as sam:
            return _serve(sam, options) if options.verb == "start-api" else _invoke(sam, options)
    except KeyboardInterrupt:
        print("\nstopped")
        return 0
    except (SamLocalError, DeployError, ChildDiedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default=NAME, help="of the emulator and its network")
    build = argparse.ArgumentParser(add_help=False, parents=[common])
    build.add_argument("--build-dir", type=Path, default=ROOT / ".aws-sam" / "build")
    build.add_argument("--runtime", default="python3.13", help="that the functions were built for")
    build.add_argument("--invoke-image", help="instead of AWS's own, for the zip functions")
    build.add_argument("--env", default="", help="NAME=VALUE, space-separated, for every function")
    parser = argparse.ArgumentParser(prog="whisperdrop_local.sam", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("down", parents=[common])
    serve = verbs.add_parser("start-api", parents=[build])
    serve.add_argument("--port", type=int, default=3000, help="of the API, on 127.0.0.1")
    serve.add_argument("--no-queues", action="store_true", help="no function gets messages")
    invoke = verbs.add_parser("invoke", parents=[build])
    invoke.add_argument("function")
    what = invoke.add_mutually_exclusive_group(required=True)
    what.add_argument("--event", type=Path, help="a file with the event")
    what.add_argument("--job", help="id of a job of the default tenant, to make the event of")
    return parser


@contextlib.contextmanager
def _prepared(options: argparse.Namespace) -> Iterator[Sam]:
    """The template made ready: in a file of its own, as a running `sam` reads it again."""
    build = options.build_dir.resolve()
    if not (build / "template.yaml").is_file():
        raise SamLocalError(f"there is no {build / 'template.yaml'}; run 'make sam-build'")
    template = read(build / "template.yaml")
    found = storage(options.name)
    key = os.environ.get("API_KEY") or "change-me"
    pairs = dict(pair.split("=", 1) for pair in options.env.split())
    variables = dict(found.variables) | {"API_KEY": key} | pairs
    own = {
        name: _as_root(name, image)
        for name, image in image_functions(template).items()
        if image is not None
    }
    local = for_sam_local(template, variables, folder=build, runtime=options.runtime, images=own)
    image = options.invoke_image
    # Always named: an image without a function would overwrite the tags of the image functions.
    images = [f"{name}={image}" for name in zip_functions(template)] if image else []
    with tempfile.TemporaryDirectory(prefix="whisperdrop-sam-") as folder:
        path = Path(folder) / "template.yaml"
        write(local, path)
        yield Sam(_program(), path, found, tuple(images))


def _as_root(name: str, image: str) -> str:
    """``image`` with root as its user, so that `sam` can add its emulator; the name of that."""
    tag = f"{name.lower()}:sam-local"
    docker("build", "--quiet", "-t", tag, "-", text=f"FROM {image}\nUSER 0:0\n")
    return tag


def _program() -> Path:
    named = os.environ.get("SAM_CLI")
    beside = ROOT / ".venv-sam" / "bin" / "sam"
    found = named or (str(beside) if beside.is_file() else shutil.which("sam"))
    if not found:
        raise SamLocalError("there is no SAM CLI; run 'make sam-build', which installs it")
    return Path(found)


def _invoke(sam: Sam, options: argparse.Namespace) -> int:
    with contextlib.ExitStack() as stack:
        event = options.event
        if options.job:
            file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".json"))
            json.dump(of_job(sam.storage, options.function, options.job), file)
            file.flush()
            event = Path(file.name)
        if not event.is_file():
            raise SamLocalError(f"there is no event file {event}")
        command = sam.command("invoke", options.function, "--event", str(event))
        return subprocess.run(command, env=sam.environment, check=False).returncode


def _serve(sam: Sam, options: argparse.Namespace) -> int:
    logs = ROOT / ".local" / "sam" / "logs"
    with _children(sam, options.name) as start:
        address = f"http://{_LOOPBACK}:{options.port}"
        # Side by side they would build the same image of layer and runtime.
        api = ["--warm-containers", "LAZY", "--port", str(options.port)]
        start("api", sam.command("start-api", *api), options.port, logs)
        fed = "nothing: no function gets messages"
        if not options.no_queues:
            fed = ", ".join(_feed(sam, start, logs))
        start.wait_for(lambda: _answers(f"{address}/health"), "the API", _WARM_S)
        print(
            f"""Whisperdrop is ready under sam local at {address}
  key      Authorization: Bearer {os.environ.get("API_KEY") or "change-me"}
  storage  {sam.storage.endpoint or "as the environment says"}, bucket {sam.storage.bucket}
  fed      {fed}
  logs     {logs}
Each function has one container: a request that waits for its transcript holds up the next one.
Ctrl-C stops it; the emulator stays for 'make sam-invoke' until 'make sam-down'.""",
            flush=True,
        )
        start.watch()
    return 0


def _feed(sam: Sam, start: "_Children", logs: Path) -> list[str]:
    """Start SAM's Lambda and feed its functions from their queues; their names."""
    port = _free_port()
    command = sam.command("start-lambda", "--warm-containers", "LAZY", "--port", str(port))
    start("functions", command, port, logs)
    names = []
    for function, queues in _FED.items():
        urls = [url for queue in queues if (url := sam.storage.variables.get(queue))]
        if urls:
            invocations = f"http://{_LOOPBACK}:{port}/2015-03-31/functions/{function}/invocations"
            start.feeds.append(feed := Feed(sam.storage.sqs(), urls, invocations))
            feed.start()
            names.append(function)
    return names


class _Children:
    """The processes of `sam`, and the threads that feed them."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._guardian = Guardian()
        self._running: list[Child] = []
        self.feeds: list[Feed] = []

    def __call__(self, name: str, command: list[str], port: int, logs: Path) -> None:
        """Start one and wait until it listens. Raises ChildDiedError, SamLocalError."""
        if _listens(port):
            raise SamLocalError(f"port {port} is in use; set PORT to another")
        log = logs / f"{name}.log"
        child = Child(name, command, self._environment, log, self._guardian, restart=False)
        self._running.append(child)
        child.start()
        self.wait_for(lambda: _listens(port), f"sam on port {port}", _START_S)

    def wait_for(self, ready: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Until ``ready``. Raises ChildDiedError, SamLocalError."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            for child in self._running:
                child.check()
            if time.monotonic() > deadline:
                raise SamLocalError(f"{what} did not answer in {timeout_s:.0f} s")
            time.sleep(0.05)

    def watch(self) -> None:
        """Until one of them ends. Raises ChildDiedError."""
        while True:
            for child in self._running:
                child.check()
            time.sleep(0.2)

    def stop(self) -> None:
        """SIGTERM makes `sam` remove its containers."""
        for feed in self.feeds:
            feed.stop()
        for child in self._running:
            child.stop()
        for child in self._running:
            child.wait()
        self._guardian.dismiss()


@contextlib.contextmanager
def _children(sam: Sam, name: str) -> Iterator[_Children]:
    children = _Children(sam.environment)
    try:
        yield children
    finally:
        children.stop()
        if sam.storage.network:
            remove_functions(name)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((_LOOPBACK, port)) == 0


def _answers(url: str) -> bool:
    """The first call makes the image of layer and runtime, and starts the container.

    SAM answers 502 to a call that finds the container there and its program not yet listening.
    """
    try:
        return requests.get(url, timeout=_WARM_S).ok
    except requests.RequestException:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
