import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests.lanes import lane
from whisperdrop_image.sbom import bill

ROOT = Path(__file__).resolve().parents[3]

_STATUS = """Package: libc6
Status: install ok installed
Version: 2.36-9+deb12u10
Architecture: amd64
Description: GNU C Library
 more of it

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: all
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Two distributions, as pip installs them."""
    for name, version, licence in (("A.b_C", "1.0+x", "MIT"), ("d", "2", "UNKNOWN")):
        metadata = tmp_path / "site-packages" / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Name: {name}\nVersion: {version}\nLicense: {licence}\n")
    return tmp_path / "site-packages"


@pytest.fixture
def document(packages: Path, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "status").write_text(_STATUS)
    (tmp_path / "os-release").write_text('NAME="Debian"\nVERSION_CODENAME=bookworm\n')
    return bill(
        "whisperdrop-worker",
        "0.1.0",
        [packages],
        dpkg_status=tmp_path / "status",
        os_release=tmp_path / "os-release",
    )


def test_it_names_every_package_of_python_and_of_debian(document: dict[str, Any]) -> None:
    purls = [component.get("purl") for component in document["components"]]

    assert purls == [
        None,  # the interpreter
        "pkg:pypi/a-b-c@1.0%2Bx",
        "pkg:pypi/d@2",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=bookworm",
    ]


def test_a_licence_is_given_where_one_is_known(document: dict[str, Any]) -> None:
    _, first, second, _ = document["components"]

    assert first["licenses"] == [{"license": {"name": "MIT"}}]
    assert "licenses" not in second


def test_without_debian_there_is_none_of_it(packages: Path, tmp_path: Path) -> None:
    document = bill("x", "1", [packages], dpkg_status=tmp_path / "none", os_release=tmp_path / "no")

    assert len(document["components"]) == 3


def test_it_is_what_cyclonedx_describes(document: dict[str, Any]) -> None:
    found = sorted(ROOT.glob(".venv-checks/lib/python3*/site-packages/cyclonedx/schema/_res"))
    lane("checks", found, "there is no .venv-checks, whose cyclonedx-python-lib has the schema")
    schemas = {
        name: json.loads((found[0] / f"{name}.SNAPSHOT.schema.json").read_text())
        for name in ("bom-1.6", "spdx", "jsf-0.82")
    }
    base = schemas["bom-1.6"]["$id"].rpartition("/")[0]
    registry: Registry[Any] = Registry().with_resources(
        (f"{base}/{name}.SNAPSHOT.schema.json", DRAFT7.create_resource(schema))
        for name, schema in schemas.items()
    )

    problems = Draft7Validator(schemas["bom-1.6"], registry=registry).iter_errors(document)

    assert [problem.message for problem in problems] == []
