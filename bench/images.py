"""Images and zips: how large, layer by layer, and how long until they answer.

``python -m bench.images`` looks at images that are built (docs/images.md says how) and at what
``make sam-build`` has left. Cold is a new container or process, up to the answer to its first
event; the machine's disk cache is warm.
"""

import argparse
import io
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median

from bench.report import Table
from tests.docker.backend import Backend, new_backend
from tests.docker.lambda_image import image_function
from tests.emulator import find_emulator, run_emulator
from tests.lambda_emulator import (
    LambdaFunction,
    find_lambda_emulator,
    http_event,
    lambda_function,
    sqs_event,
    sqs_record,
)
from tests.standins import ROOT, docker, has_image
from whisperdrop_local.sample import bundled, same_words

BUILD = ROOT / ".aws-sam" / "build"
WORKER = "whisperdrop_worker.lambda_handler.handler"
API = "whisperdrop_api.handler.handler"
_STAMP = re.compile(r"^(\S+ \S+ \S+ \S+) \[INFO\] \(rapid\) INIT (START|RTDONE)", re.MULTILINE)
_WARM_CALLS = 5


def layers(image: str) -> Table:
    """Every layer that has a size."""
    form = "{{.Size}} {{.CreatedBy}}"
    lines = docker("history", "--no-trunc", "--human=false", "--format", form, image)
    parts = [line.partition(" ") for line in reversed(lines.stdout.splitlines())]
    rows = [(what[:60] or "base", _mb(int(size))) for size, _, what in parts if int(size)]
    total = int(json.loads(docker("image", "inspect", image).stdout)[0]["Size"])
    return Table(image, ("layer", "MB"), [*rows, ("together", _mb(total))])


def zips(build: Path) -> Table:
    """Each function and layer of a build, compressed as a deployment does."""
    rows = []
    for folder in sorted(path for path in build.iterdir() if path.is_dir()):
        files = [path for path in folder.rglob("*") if path.is_file()]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(folder))
        unpacked = sum(file.stat().st_size for file in files)
        rows.append((folder.name, _mb(packed.getbuffer().nbytes), _mb(unpacked)))
    return Table(str(build), ("", "zip MB", "unpacked MB"), rows)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}"


def starts(times: int, images: dict[str, str], build: Path) -> Table:
    """Cold and warm times of what is there."""
    program, emulator = find_lambda_emulator(ROOT), find_emulator(ROOT)
    if program is None or emulator is None:
        raise SystemExit("the emulators are missing; run 'make setup .venv-sam/done'")
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        run_emulator(emulator, Path(folder)) as running,
    ):
        backend = new_backend(running, "bench-images")
        environ = backend.environ | {"API_KEY": "change-me"}
        asked: list[tuple[str, Callable[[LambdaFunction, int], None], str]] = []
        if "worker" in images:
            asked.append(("worker's image, 3 s of speech", _speech(backend), WORKER))
        if "api" in images:
            asked.append(("API's image, GET /health", _health, API))
        for name, call, handler in asked:
            image = images["worker" if handler == WORKER else "api"]
            functions, inits = [], []
            for number in range(times):
                directory = Path(folder) / f"{handler}-{number}"
                with image_function(
                    program, image, handler, environ=environ, directory=directory
                ) as (function, container):
                    for turn in range(1 + _WARM_CALLS):
                        call(function, turn + number * 100)
                    inits.append(_init_ms(container.log()))
                functions.append(function)
            rows.append(_row(name, functions, inits))
        if (build / "ApiFunction").is_dir():
            paths = f"{build / 'ApiFunction'}:{build / 'CoreLayer' / 'python'}"
            own = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
            functions, inits = [], []
            for number in range(times):
                directory = Path(folder) / f"zip-{number}"
                with lambda_function(
                    program, API, environ=environ | own, directory=directory
                ) as function:
                    for turn in range(1 + _WARM_CALLS):
                        _health(function, turn)
                    inits.append(_init_ms(function.log.read_text()))
                functions.append(function)
            rows.append(_row("API's zip with its layer, GET /health", functions, inits))
    columns = ("", "init ms", "quickest", "cold ms", "quickest", "warm ms")
    return Table(f"Under the Lambda emulator, median of {times}", columns, rows)


def _speech(backend: Backend) -> Callable[[LambdaFunction, int], None]:
    def call(function: LambdaFunction, number: int) -> None:
        name = f"bench-{number}-"
        text = backend.drop(name)
        answer = function.invoke(sqs_event(sqs_record(name, backend.take(name))))
        if answer != {"batchItemFailures": []} or not same_words(
            backend.text(text), bundled().text
        ):
            raise SystemExit(f"the worker's image did not transcribe: {answer}")

    return call


def _health(function: LambdaFunction, _number: int) -> None:
    recorded = json.loads(
        (ROOT / "tests/events/gateway/api_gateway_v2_create_job.json").read_text()
    )
    answer = function.invoke(http_event(recorded, method="GET", path="/health", headers={}))
    if answer["statusCode"] != 200:
        raise SystemExit(f"the API answered {answer}")


def _init_ms(log: str) -> float:
    """How long the emulator waited for the runtime to be ready."""
    at = {
        what: datetime.strptime(stamp, "%d %b %Y %H:%M:%S,%f")  # noqa: DTZ007 - a difference
        for stamp, what in reversed(_STAMP.findall(log))
    }
    return (at["RTDONE"] - at["START"]).total_seconds() * 1000


def _row(name: str, functions: list[LambdaFunction], inits: list[float]) -> tuple[str, ...]:
    cold = [function.calls_s[0] * 1000 for function in functions]
    warm = [seconds * 1000 for function in functions for seconds in function.calls_s[1:]]
    figures = (median(inits), min(inits), median(cold), min(cold), median(warm))
    return (name, *(f"{figure:.0f}" for figure in figures))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.images", description=__doc__)
    parser.add_argument("--api", default="whisperdrop-api")
    parser.add_argument("--worker", default="whisperdrop-worker", help="with the weights in it")
    parser.add_argument("--cuda", default="whisperdrop-worker:cuda")
    parser.add_argument("--build", type=Path, default=BUILD, help="what SAM has built")
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args(arguments)
    names = {"api": options.api, "worker": options.worker, "cuda": options.cuda}
    images = {role: name for role, name in names.items() if has_image(name)}
    for name in images.values():
        print(f"{layers(name)}\n", flush=True)
    if options.build.is_dir():
        print(f"{zips(options.build)}\n", flush=True)
    print(starts(options.times, images, options.build))
    return 0


if __name__ == "__main__":
    sys.exit(main())
