"""An image as Lambda runs it: the emulator that AWS ships for images, inside the container."""

import contextlib
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.docker.containers import HOST_NETWORK, Container, container
from tests.lambda_emulator import LambdaFunction
from tests.processes import free_port

_INVOKE = "/2015-03-31/functions/function/invocations"
_START_S = 60


@contextlib.contextmanager
def image_function(
    program: Path, image: str, handler: str, *, environ: Mapping[str, str], directory: Path
) -> Iterator[tuple[LambdaFunction, Container]]:
    """``handler`` in a container of ``image``, on free ports of the loopback interface."""
    directory.mkdir(parents=True, exist_ok=True)
    executable = directory / "aws-lambda-rie"
    shutil.copyfile(program, executable)
    executable.chmod(0o755)
    front, runtime_api = free_port(), free_port()
    options = (
        *HOST_NETWORK,
        *("--volume", f"{executable}:/aws-lambda-rie:ro"),
        *("--entrypoint", "/aws-lambda-rie"),
    )
    command = (
        *("--runtime-interface-emulator-address", f"127.0.0.1:{front}"),
        *("--runtime-api-address", f"127.0.0.1:{runtime_api}"),
        *("python", "-m", "awslambdaric", handler),
    )
    lambdas_own = {
        "AWS_LAMBDA_FUNCTION_NAME": handler.split(".", 1)[0].replace("_", "-"),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "120",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
        "_HANDLER": handler,
    }
    with container(
        image, *command, options=options, environ=lambdas_own | dict(environ)
    ) as running:
        _wait_for(front, running)
        log = directory / "function.log"
        yield LambdaFunction(f"http://127.0.0.1:{front}{_INVOKE}", log), running


def _wait_for(port: int, running: Container) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < deadline, running.log()
        assert running.inspect()["State"]["Running"], running.log()
        time.sleep(0.05)
