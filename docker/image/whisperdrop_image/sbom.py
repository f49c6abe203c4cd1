"""Writes the bill of materials of an image: CycloneDX 1.6, JSON.

``python -m whisperdrop_image.sbom --name NAME --target FILE SITE_PACKAGES...``

It is made from what is installed, not from what was asked for: the metadata of every Python
distribution, every package in Debian's own list, the interpreter, and this project.
https://cyclonedx.org/docs/1.6/json/
"""

import argparse
import importlib
import json
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from email.message import Message
from email.parser import HeaderParser
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]

DPKG_STATUS = Path("/var/lib/dpkg/status")
OS_RELEASE = Path("/etc/os-release")
_LICENCE = ("License-Expression", "License")


def bill(
    name: str,
    version: str,
    packages: Sequence[Path],
    *,
    dpkg_status: Path = DPKG_STATUS,
    os_release: Path = OS_RELEASE,
) -> dict[str, Any]:
    """The document, as plain values. It holds no time and no random number: the same image makes
    the same bill."""
    components = [_interpreter(), *_python(packages), *_debian(dpkg_status, os_release)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": f"image:{name}",
                "name": name,
                "version": version,
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": components,
    }


def _interpreter() -> Component:
    version = platform.python_version()
    return {
        "type": "platform",
        "bom-ref": "cpython",
        "name": "python",
        "version": version,
        "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    }


def _python(packages: Sequence[Path]) -> Iterator[Component]:
    """Every distribution, once."""
    seen: dict[str, Component] = {}
    for distribution in distributions(path=[str(path) for path in packages]):
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        purl = f"pkg:pypi/{name}@{quote(distribution.version)}"
        component: Component = {
            "type": "library",
            "bom-ref": purl,
            "name": distribution.metadata["Name"],
            "version": distribution.version,
            "purl": purl,
        }
        if licence := _licence(distribution.metadata):
            component["licenses"] = [{"license": {"name": licence}}]
        seen.setdefault(purl, component)
    yield from (seen[purl] for purl in sorted(seen))


def _licence(metadata: PackageMetadata) -> str | None:
    """What a distribution says of its licence in a line, if it does."""
    said = next((metadata[name] for name in _LICENCE if name in metadata), "")
    first = said.strip().splitlines()[:1]
    return first[0][:200] if first and first[0] != "UNKNOWN" else None


def _debian(dpkg_status: Path, os_release: Path) -> Iterator[Component]:
    """Every package that dpkg has installed; none where the base image is no Debian."""
    if not dpkg_status.is_file():
        return
    codename = _os(os_release).get("VERSION_CODENAME", "")
    for entry in _paragraphs(dpkg_status.read_text(errors="replace")):
        name, version = entry["Package"], entry["Version"]
        if not str(entry["Status"]).endswith(" installed"):
            continue
        architecture = quote(entry["Architecture"])
        purl = f"pkg:deb/debian/{name}@{quote(version)}?arch={architecture}"
        purl += f"&distro={codename}" if codename else ""
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
        }


def _paragraphs(text: str) -> Iterator[Message]:
    for paragraph in text.strip().split("\n\n"):
        if paragraph:
            yield HeaderParser().parsestr(paragraph)


def _os(os_release: Path) -> dict[str, str]:
    if not os_release.is_file():
        return {}
    pairs = (line.partition("=") for line in os_release.read_text().splitlines())
    return {key: value.strip('"') for key, _, value in pairs}


def main(arguments: list[str]) -> int:
    """Write the bill where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("packages", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    version = str(importlib.import_module("whisperdrop").__version__)
    document = bill(options.name, version, options.packages)
    options.target.parent.mkdir(parents=True, exist_ok=True)
    options.target.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(f"{options.target}: {len(document['components'])} components")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
