"""Fixtures of the whole suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.clock import ManualClock
from tests.emulator import Emulator, find_emulator, run_emulator
from tests.lanes import lane

# A busy machine is no bug: examples have no deadline of their own.
settings.register_profile("whisperdrop", deadline=None, print_blob=True)
settings.load_profile("whisperdrop")

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The folder that holds functions/, layers/ and tests/."""
    return _ROOT


@pytest.fixture
def clock() -> ManualClock:
    """Noon, until the test moves it."""
    return ManualClock()


@pytest.fixture(scope="session")
def emulator_program(project_root: Path) -> Path:
    """The emulator's program, or no test."""
    program = find_emulator(project_root)
    lane("emulator", program, "there is no .venv-emulator/bin/ministack and MINISTACK names none")
    assert program is not None
    return program


@pytest.fixture(scope="session")
def emulator(
    emulator_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    """One emulator for the whole run: tests make buckets and queues of their own in it."""
    with run_emulator(emulator_program, tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator
