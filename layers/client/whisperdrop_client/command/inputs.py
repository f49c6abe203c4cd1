"""What is to be transcribed: files, folders and standard input, in a stable order."""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MEDIA = frozenset(
    "aac aif aiff flac m4a mkv mov mp3 mp4 mpeg mpga oga ogg opus wav webm".split()  # noqa: SIM905
)
"""Extensions that count in a folder. A file that is named is tried whatever it is called."""

STDIN = "-"
UNKNOWN = "audio/unknown"
"""Content type of a file without an extension: the server looks into it."""


class InputError(ValueError):
    """A path that cannot be an input; the message names it."""


@dataclass(frozen=True)
class Input:
    """One file, and where it lies below the folder that was named."""

    path: Path
    shown: str
    """As it is called on the command line."""
    below: Path = Path()
    """Folder, relative to the one that was named."""
    stdin: bool = False

    @property
    def name(self) -> str:
        """The name that the server is told."""
        return "stdin" if self.stdin else self.path.name

    @property
    def content_type(self) -> str | None:
        """What the server is told where the name says nothing."""
        return None if Path(self.name).suffix else UNKNOWN


def find(named: Iterable[str], *, recursive: bool, spool: Path) -> list[Input]:
    """The inputs that the command line means, each once. Raises InputError.

    Standard input is copied into the folder ``spool``: an upload needs its size and, when it is
    repeated, its bytes.
    """
    found: dict[Path, Input] = {}
    for argument in named:
        for item in _of(argument, recursive=recursive, spool=spool):
            found.setdefault(item.path.resolve(), item)
    return list(found.values())


def _of(argument: str, *, recursive: bool, spool: Path) -> Iterator[Input]:
    if argument == STDIN:
        yield _stdin(sys.stdin.buffer, spool)
        return
    path = Path(argument)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"{argument}: {error.strerror or error}") from error
    if stat.S_ISDIR(mode):
        inside = sorted(_media(path, recursive=recursive))
        if not inside:
            hint = "" if recursive else "; --recursive looks into its folders too"
            raise InputError(f"{argument}: there are no recordings in this folder{hint}")
        for file in inside:
            yield Input(file, str(file), file.parent.relative_to(path))
    elif stat.S_ISREG(mode):
        yield Input(path, argument)
    else:
        raise InputError(f"{argument}: neither a file nor a folder; '-' reads standard input")


def _media(folder: Path, *, recursive: bool) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if recursive and not f.startswith("."))
        for name in files:
            path = Path(root, name)
            known = path.suffix.removeprefix(".").lower() in MEDIA
            if known and not name.startswith(".") and path.is_file():
                yield path


def _stdin(stream: BinaryIO, spool: Path) -> Input:
    handle, name = tempfile.mkstemp(dir=spool)
    with os.fdopen(handle, "wb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)
    return Input(Path(name), STDIN, stdin=True)
