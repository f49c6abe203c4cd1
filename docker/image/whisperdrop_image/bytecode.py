"""Compiles what a start imports, so that no start compiles it again.

``python -m whisperdrop_image.bytecode TARGET MODULE...``

Slim base images come without compiled modules, and a process that may not write can keep none:
every start would compile the standard library's anew. Everything that there is would be twice the
size of what is imported.
"""

import importlib
import py_compile
import sys
from importlib.util import cache_from_source
from pathlib import Path


def compile_imported(target: Path) -> int:
    """Write compiled forms of all modules imported so far to ``target``, which mirrors the root.

    Returns how many there are. They are not checked against their sources, whose times an image's
    tools may change.
    """
    sources = {
        Path(file)
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and file.endswith(".py")
    }
    for source in sorted(sources):
        compiled = target / Path(cache_from_source(source)).relative_to("/")
        py_compile.compile(
            str(source),
            cfile=str(compiled),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    return len(sources)


def _use_boto3() -> None:
    """boto3 imports half of itself when a client is made; nothing leaves the machine by that."""
    boto3 = importlib.import_module("boto3")
    session = boto3.Session("none", "none", region_name="us-east-1")
    for service in ("s3", "sqs"):
        session.client(service)


def main(arguments: list[str]) -> int:
    """Import the modules that are named, and compile what that brought in."""
    target, *modules = arguments
    for module in modules:
        importlib.import_module(module)
    _use_boto3()
    print(f"{compile_imported(Path(target))} modules compiled")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
