"""Looks for secrets in the files and in what the history still holds of them.

``python -m tests.secret_scan`` reports what ``.secrets.baseline`` does not know; ``--accept``
writes that file anew, after a person has looked at each finding. `make checks` installs the tools.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / ".secrets.baseline"
TOOLS = ROOT / ".venv-checks" / "bin"

_HASHES_ONLY = re.compile(r"(^requirements/.*\.txt|(^|/)requirements\.txt|package-lock\.json)$")
"""Locks: thousands of hashes, and nobody writes them by hand."""

_EXAMPLES = r"^(change-me|test|short|wrong|secret|password|required|keys/|whsec_…|!If|!Equals)$"
"""What stands for a secret in examples and tests, and words beside a name that sounds like one."""

_OFF = {
    "HexHighEntropyString": "finds every SHA-256, and no key that counts is plain hex",
    "IPPublicDetector": "an address is no secret; not every version has it",
}


def collect(into: Path) -> int:
    """Lay out every text file, with the lines that it once had below. Returns how many lines."""
    now = {name: text for name in _names() if (text := _text(ROOT / name)) is not None}
    before = _removed({name: set(text.splitlines()) for name, text in now.items()})
    for name in {*now, *before}:
        copy = into / name
        if copy.is_dir() or any(parent.is_file() for parent in copy.parents):
            copy = into / name.replace("/", "__")  # a file once, a folder now, or the other way
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("\n".join([now.get(name, ""), *before.get(name, ())]))
    return sum(map(len, before.values()))


def _names() -> Iterator[str]:
    for name in _git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        if name and name != BASELINE.name and not _HASHES_ONLY.search(name):
            yield name


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except (UnicodeDecodeError, OSError):
        return None  # no text, or deleted


def _removed(now: dict[str, set[str]]) -> dict[str, list[str]]:
    """Lines by file that commits have added and that are not there any more."""
    found: dict[str, dict[str, None]] = {}
    name = None
    log = ("log", "-p", "-U0", "--no-color", "--no-renames", "--no-ext-diff", "--format=", "HEAD")
    for line in _git(*log).splitlines():
        if line.startswith("+++ "):
            name = line.removeprefix("+++ b/") if line.startswith("+++ b/") else None
            if name and (_HASHES_ONLY.search(name) or name == BASELINE.name):
                name = None
        elif name and line.startswith("+") and line[1:] not in now.get(name, ()):
            found.setdefault(name, {})[line[1:]] = None
    return {name: list(lines) for name, lines in found.items()}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True)  # noqa: S607 - as in every shell
    return done.stdout.decode(errors="replace")


def _detect(arguments: Iterable[str], tree: Path) -> str:
    done = subprocess.run(
        [str(TOOLS / "detect-secrets"), *arguments],
        cwd=tree,
        # A cheap look at each line first: a quarter of the time, and the same findings.
        env={**os.environ, "DETECT_SECRETS_PERF_PREGATE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def unknown(tree: Path) -> list[str]:
    """What is found in ``tree`` and not in the baseline, as ``file:line kind``."""
    found = _scan(tree)["results"]
    accepted = json.loads(BASELINE.read_text())["results"]
    known = {
        (name, one["type"], one["hashed_secret"]) for name, ones in accepted.items() for one in ones
    }
    return [
        f"{name}:{one['line_number']} {one['type']}"
        for name, ones in sorted(found.items())
        for one in ones
        if (name, one["type"], one["hashed_secret"]) not in known
    ]


def _scan(tree: Path) -> dict[str, dict[str, list[dict[str, str]]]]:
    plugins = set(_detect(["scan", "--list-all-plugins"], tree).split())
    off = [f"--disable-plugin={name}" for name in sorted(_OFF.keys() & plugins)]
    # Verifying would send what it finds to whoever might have issued it.
    options = ["--all-files", "--no-verify", f"--exclude-secrets={_EXAMPLES}"]
    found = _detect(["scan", *options, *off], tree)
    scanned: dict[str, dict[str, list[dict[str, str]]]] = json.loads(found)
    return scanned


def main(arguments: list[str]) -> int:
    """Exit status: 0 when everything that is found is known."""
    parser = argparse.ArgumentParser(prog="python -m tests.secret_scan", description=__doc__)
    parser.add_argument("--accept", action="store_true", help="write .secrets.baseline anew")
    accept = parser.parse_args(arguments).accept
    tree = Path(tempfile.mkdtemp())
    try:
        collect(tree)
        if accept:
            results = _scan(tree)["results"]
            kept = {
                name: [{key: one[key] for key in ("type", "hashed_secret")} for one in ones]
                for name, ones in sorted(results.items())
            }
            BASELINE.write_text(json.dumps({"results": kept}, indent=1) + "\n")
            return 0
        found = unknown(tree)
    finally:
        shutil.rmtree(tree)
    print("\n".join(found) or "no secret that is not known")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
