"""Fixtures of the engine's unit tests."""

from collections.abc import Iterator

import pytest

from tests.unit.worker.engine.scripted import ReadingDetector
from whisperdrop_worker.engine import chapters, windows


@pytest.fixture(scope="module")
def speech_is_told() -> Iterator[None]:
    """Windows are cut by what the samples say of themselves: see ``samples_of``."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (chapters, windows):
            patch.setattr(module, "SpeechDetector", ReadingDetector)
        yield
