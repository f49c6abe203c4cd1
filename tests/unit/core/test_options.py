import math
from typing import Any

import pytest
from pydantic import ValidationError

from whisperdrop.domain.languages import LANGUAGES
from whisperdrop.domain.options import TranscribeOptions


def test_without_options_the_worker_chooses() -> None:
    options = TranscribeOptions()
    assert options.task == "transcribe"
    assert options.temperature == 0
    assert options.word_timestamps is False
    assert {options.language, options.prompt, options.beam_size, options.vad_filter} == {None}


@pytest.mark.parametrize(
    ("given", "stored"), [("de", "de"), ("DE", "de"), ("", None), (None, None)]
)
def test_a_language_is_stored_in_lower_case_or_not_at_all(
    given: str | None, stored: str | None
) -> None:
    assert TranscribeOptions(language=given).language == stored


def test_whispers_hundred_languages_are_known() -> None:
    assert len(LANGUAGES) == 100
    assert {"en", "de", "yue", "haw"} <= LANGUAGES


@pytest.mark.parametrize(
    "fields",
    [
        {"language": "english"},
        {"language": "xx"},
        {"language": "en\n"},
        {"task": "summarise"},
        {"temperature": -0.1},
        {"temperature": 1.1},
        {"temperature": math.nan},
        {"beam_size": 0},
        {"beam_size": 11},
        {"prompt": "x" * 4001},
        {"hotwords": "x" * 1001},
        {"hotwords": "two\nlines"},
        {"hotwords": "<|endoftext|>"},
        {"unknown": 1},
    ],
)
def test_a_value_that_is_not_allowed_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TranscribeOptions.model_validate(fields)


def test_options_survive_storage() -> None:
    options = TranscribeOptions(language="fr", beam_size=3, word_timestamps=True, hotwords="Kenobi")
    assert TranscribeOptions.model_validate_json(options.model_dump_json()) == options


def test_options_do_not_change() -> None:
    options = TranscribeOptions()
    with pytest.raises(ValidationError):
        options.beam_size = 3  # type: ignore[misc]
