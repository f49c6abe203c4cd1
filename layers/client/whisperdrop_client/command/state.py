"""What is remembered of a file between two calls, so that a killed command goes on where it was.

One small JSON file for each recording and server, in the user's cache folder. It holds the hash of
the recording (so that a large file is not read twice) and, until its job has ended, the
Idempotency-Key that the job was created with: the same request with the same key answers the same
job, and for an upload by parts the server says which parts it has.
"""

import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEEP_S = 30 * 24 * 3600
FOLDER_VARIABLE = "WHISPERDROP_CACHE_DIR"


def cache_folder() -> Path:
    """Where the platform wants it."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "whisperdrop"


@dataclass(frozen=True)
class Identity:
    """Which file, and which contents as far as one can tell without reading them."""

    path: str
    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "Identity":
        """As it is now."""
        found = path.stat()
        return cls(str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ino)

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {"size": self.size, "modified_ns": self.modified_ns, "inode": self.inode}


class Memory:
    """What is remembered of one file for one server and key; a cache that may vanish at any time.

    A folder that cannot be written costs the memory, never the transcription.
    """

    def __init__(self, folder: Path, server: str, identity: Identity) -> None:
        name = hashlib.sha256(f"{server}\n{identity.path}".encode()).hexdigest()[:32]
        self._path = folder / "files" / f"{name}.json"
        self._identity = identity
        self._known = self._load()

    def _load(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(known, dict) or known.get("identity") != self._identity.dump():
            return {}
        return known

    @property
    def sha256(self) -> str | None:
        """Of the file's contents, if it was hashed before."""
        known = self._known.get("sha256")
        return known if isinstance(known, str) else None

    def hashed(self, sha256: str) -> None:
        """Remember the hash."""
        self._known = {"sha256": sha256}
        self._save()

    def key_for(self, request: Mapping[str, Any]) -> str:
        """The Idempotency-Key of ``request``: that of the call which did not see its end, or a new
        one, which is remembered before it is used.
        """
        mark = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        key = self._known.get("key")
        if self._known.get("request") == mark and isinstance(key, str):
            return key
        key = uuid.uuid4().hex
        self._known |= {"request": mark, "key": key}
        self._save()
        return key

    def ended(self) -> None:
        """The job has ended; the next one is new. The hash stays."""
        if self._known.pop("key", None) is not None:
            self._save()

    def _save(self) -> None:
        document = {"identity": self._identity.dump(), **self._known}
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=self._path.parent)
            with os.fdopen(handle, "w") as file:
                json.dump(document, file)
            Path(name).replace(self._path)


def forget_old(folder: Path) -> None:
    """Remove what has not been touched for 30 days."""
    oldest = time.time() - KEEP_S
    with contextlib.suppress(OSError):
        for path in (folder / "files").iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
