"""The client is installed by itself: it knows nothing of the server's packages."""

import subprocess
import sys
from pathlib import Path

from whisperdrop.domain.media import EXTENSIONS
from whisperdrop_client.command.inputs import MEDIA

_PROGRAM = """
import importlib, pkgutil, sys

class Ban:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top == "whisperdrop" or top.startswith("whisperdrop_") and top != "whisperdrop_client":
            raise ImportError(f"the client imports {name}")

sys.meta_path.insert(0, Ban())
import whisperdrop_client
count = 0
for module in pkgutil.walk_packages(whisperdrop_client.__path__, "whisperdrop_client."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        count += 1
print(count)
"""


def test_it_imports_nothing_of_the_rest(project_root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM],
        env={"PYTHONPATH": str(project_root / "layers" / "client"), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


def test_the_library_does_not_load_the_command() -> None:
    program = "import sys, whisperdrop_client; print('typer' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "False"


def test_a_folders_recordings_are_those_that_the_server_takes() -> None:
    assert MEDIA == EXTENSIONS
