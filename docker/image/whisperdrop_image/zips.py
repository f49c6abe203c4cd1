"""Makes what `sam build` has built smaller and quicker to start.

``python -m whisperdrop_image.zips .aws-sam/build`` prunes and strips the layer as the images are,
and puts compiled modules into layer and functions: a function may write nowhere where Python would
look for them, so that without these every cold start compiles some seven hundred modules again.
They are for the Python that runs this, which has to be the runtime's; another one ignores them.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from whisperdrop_image.slim import slim

LAYER = "CoreLayer"

_COMPILE = """
import importlib, py_compile, sys
from importlib.util import cache_from_source
function, layer, *handlers = sys.argv[1:]
sys.dont_write_bytecode = True
sys.path[:0] = [function, layer]
for handler in handlers:
    importlib.import_module(handler)
import boto3
session = boto3.Session("none", "none", region_name="us-east-1")
for service in ("s3", "sqs"):
    session.client(service)
places = {function: "/var/task", layer: "/opt/python"}
for module in list(sys.modules.values()):
    source = getattr(module, "__file__", None) or ""
    place = next((place for place in places if source.startswith(place + "/")), None)
    if place and source.endswith(".py"):
        py_compile.compile(
            source,
            dfile=places[place] + source[len(place):],
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
"""
"""Runs with the paths of a function and of nothing else, as Lambda runs it."""


def compile_build(build: Path) -> list[str]:
    """Prune the layer, compile what every handler imports; the handlers."""
    layer = (build / LAYER / "python").resolve()
    slim(layer)
    done = []
    for function in sorted(path for path in build.iterdir() if path.is_dir()):
        if handlers := list(_handlers(function)):
            arguments = [str(function.resolve()), str(layer), *handlers]
            subprocess.run([sys.executable, "-I", "-S", "-c", _COMPILE, *arguments], check=True)
            done += handlers
    return done


def _handlers(function: Path) -> Iterator[str]:
    """Modules that a template could name: ``whisperdrop_*.*handler``."""
    for path in sorted(function.glob("whisperdrop_*/*handler.py")):
        yield f"{path.parent.name}.{path.stem}"


def main(arguments: list[str]) -> int:
    """Work on the folder of a build, and say what was compiled."""
    [build] = (Path(argument) for argument in arguments)
    print(f"compiled for {sys.version.split()[0]}: {', '.join(compile_build(build))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
