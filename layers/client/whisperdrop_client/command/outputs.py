"""Where transcripts go: which file for which recording, and how it gets there, whole."""

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from whisperdrop_client.command.inputs import Input

EXTENSIONS = {
    "txt": "txt",
    "srt": "srt",
    "vtt": "vtt",
    "tsv": "tsv",
    "json": "json",
    "verbose_json": "verbose.json",
}
STDOUT = "-"


class OutputError(ValueError):
    """Two recordings would be written to one file."""


Targets = dict[str, Path]
"""Format → file; empty when everything goes to standard output."""


def plan(inputs: Sequence[Input], formats: Sequence[str], where: str | None) -> list[Targets]:
    """The files to write for each of ``inputs``: beside the recording, or below the folder
    ``where`` as it lay below the folder that was named. Raises OutputError.

    `a.mp3` becomes `a.srt`; where `a.wav` would too, they become `a.mp3.srt` and `a.wav.srt`.
    """
    if where == STDOUT:
        return [{} for _ in inputs]
    folders = [_folder(item, where) for item in inputs]
    short = [folder / Path(item.name).stem for folder, item in zip(folders, inputs, strict=True)]
    names = [item.name for item in inputs]
    taken = Counter(short)
    stems = [
        stem if taken[stem] == 1 else folder / name
        for stem, folder, name in zip(short, folders, names, strict=True)
    ]
    for stem, count in Counter(stems).items():
        if count > 1:
            same = [i.shown for i, s in zip(inputs, stems, strict=True) if s == stem]
            raise OutputError(
                f"{' and '.join(same[:3])} would be written to the same file in {stem.parent}; "
                "transcribe them one after the other into different folders"
            )
    return [
        {name: stem.with_name(f"{stem.name}.{EXTENSIONS[name]}") for name in formats}
        for stem in stems
    ]


def _folder(item: Input, where: str | None) -> Path:
    if where is None:
        return Path() if item.stdin else item.path.parent
    return Path(where) / item.below


def write(target: Path, text: str, *, force: bool) -> None:
    """Write ``text`` to ``target`` at once: nobody ever sees half of it.

    Raises FileExistsError when something is there, unless ``force`` replaces it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix="~")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        if force:
            temporary.replace(target)
        else:
            _move_if_free(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _move_if_free(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with contextlib.ExitStack() as undo:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            undo.callback(target.unlink, missing_ok=True)
            temporary.replace(target)
            undo.pop_all()


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
