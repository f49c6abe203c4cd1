"""Directories of model weights: what makes one complete, and how one gets into the cache.

A directory in the cache is filled under another name, flushed, and renamed: what bears its final
name is whole. A file lock makes the second process wait for the first instead of fetching too.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

MODEL_FILE = "model.bin"
REQUIRED_FILES = (MODEL_FILE, "config.json", "tokenizer.json")
"""Without tokenizer.json faster-whisper would ask the Hugging Face hub for one."""
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
OPTIONAL_FILES = ("preprocessor_config.json",)
ALL_FILES = frozenset({*REQUIRED_FILES, *VOCABULARIES, *OPTIONAL_FILES})

_STAMP = ".sizes.json"
_CHUNK_BYTES = 4 * 2**20


def missing_files(directory: Path) -> list[str]:
    """Names of what a CTranslate2 Whisper model needs and ``directory`` lacks (or has empty)."""
    missing = [name for name in REQUIRED_FILES if not _size(directory / name)]
    if not any(_size(directory / name) for name in VOCABULARIES):
        missing.append(VOCABULARIES[0])
    return missing


def copy_and_hash(parts: Sequence[Path], target: Path | None = None) -> str:
    """SHA-256, in hex, of ``parts`` one after the other; written to ``target`` if there is one."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with target.open("wb") if target else open(os.devnull, "wb") as out:  # noqa: PTH123
        for part in parts:
            with part.open("rb", buffering=0) as source:
                while count := source.readinto(buffer):
                    digest.update(buffer[:count])
                    out.write(buffer[:count])
    return digest.hexdigest()


def cached(cache_dir: Path, key: str, fill: Callable[[Path], None]) -> Path:
    """The directory ``cache_dir/key``, filled by ``fill`` unless it is there and whole.

    ``fill`` writes into an empty directory; what it raises goes through and leaves nothing.
    """
    final = cache_dir / key
    if _whole(final):
        return final
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _locked(cache_dir / f".{key}.lock"):
        if _whole(final):  # another process was faster
            return final
        partial = cache_dir / f".{key}.partial"
        for leftover in (partial, final):  # of a process that was killed, or of a damaged disk
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir()
        try:
            fill(partial)
            _stamp(partial)
            partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final


def _whole(directory: Path) -> bool:
    try:
        sizes = json.loads((directory / _STAMP).read_bytes())
        return all((directory / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _stamp(directory: Path) -> None:
    sizes = {}
    for file in directory.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        sizes[file.name] = file.stat().st_size
    with (directory / _STAMP).open("w") as stream:
        json.dump(sizes, stream)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel lets go of it when the process ends
        yield


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
