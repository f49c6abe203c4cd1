import importlib.util
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from whisperdrop_image.elf import stripped

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ELF is Linux's format")


def _extension(name: str) -> Path:
    """A compiled module of this environment, as its wheel brought it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def _section_names(data: bytes) -> set[str]:
    at, size, count, names = (
        *struct.unpack_from("<Q", data, 40),
        *struct.unpack_from("<HHH", data, 58),
    )
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, at + n * size) for n in range(count)]
    strings = data[headers[names][4] :]
    return {strings[h[0] : strings.index(b"\0", h[0])].decode() for h in headers}


def test_a_library_without_its_debugging_information_still_loads(tmp_path: Path) -> None:
    original = _extension("yaml._yaml")

    shorter = stripped(original.read_bytes())

    assert shorter is not None
    assert len(shorter) < original.stat().st_size / 2
    package = shutil.copytree(original.parent, tmp_path / "yaml")
    (package / original.name).write_bytes(shorter)
    program = "import yaml, yaml._yaml as m; print(m.__file__, yaml.load('[1, a]', yaml.CLoader))"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == f"{package / original.name} [1, 'a']\n"


def test_what_a_loader_reads_stays_and_what_a_debugger_reads_goes() -> None:
    original = _extension("yaml._yaml").read_bytes()

    shorter = stripped(original)

    assert shorter is not None
    gone = _section_names(original) - _section_names(shorter)
    assert {".symtab", ".strtab"} <= gone
    assert not gone & {".dynsym", ".dynstr", ".eh_frame", ".rodata", ".data", ".init_array"}
    assert {".dynsym", ".dynamic", ".text"} <= _section_names(shorter)


def test_a_second_time_there_is_nothing_left_to_take() -> None:
    shorter = stripped(_extension("yaml._yaml").read_bytes())

    assert shorter is not None
    assert stripped(shorter) is None


@pytest.mark.parametrize(
    "data", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01 of 32 bits"], ids=["empty", "script", "32 bits"]
)
def test_what_is_no_library_of_64_bits_is_left_alone(data: bytes) -> None:
    assert stripped(data) is None
