import pytest
from pydantic import ValidationError

from whisperdrop.settings import CoreSettings, KeySettings

NEEDED = {
    "BUCKET": "media",
    "INTERACTIVE_QUEUE_URL": "http://queue/interactive",
    "BULK_QUEUE_URL": "http://queue/bulk",
}


@pytest.fixture(autouse=True)
def _needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def read() -> CoreSettings:
    return CoreSettings()


def test_three_variables_are_enough() -> None:
    settings = read()
    assert settings.bucket == "media"
    assert settings.whisper_models == ("tiny.en",)
    assert settings.catalog.default == "tiny.en"


@pytest.mark.parametrize("missing", sorted(NEEDED))
@pytest.mark.parametrize("empty", [False, True])
def test_a_needed_variable_that_is_missing_or_empty_is_named(
    missing: str, empty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if empty:
        monkeypatch.setenv(missing, "")
    else:
        monkeypatch.delenv(missing)
    with pytest.raises(ValidationError, match=missing.lower()):
        read()


@pytest.mark.parametrize(
    ("value", "models"),
    [
        ("small", ("small",)),
        ("small,medium", ("small", "medium")),
        (" small , medium ,", ("small", "medium")),
        ("small,small", ("small",)),
        ("", ("tiny.en",)),
    ],
)
def test_models_are_a_list_in_commas(
    value: str, models: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_MODELS", value)
    assert read().catalog.served == models


def test_a_list_of_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODELS", " , ")
    with pytest.raises(ValidationError, match="names no model"):
        read()


def test_allowed_models_are_served_after_those_that_are_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WHISPER_MODELS", "small,medium")
    monkeypatch.setenv("ALLOWED_MODELS", "large-v3,small")
    assert read().catalog.served == ("small", "medium", "large-v3")


def test_a_directory_without_an_alias_is_refused_with_advice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WHISPER_MODELS", "/models/mine")
    with pytest.raises(ValidationError, match="WHISPER_ALIASES"):
        CoreSettings()


def test_aliases_are_pairs_in_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODELS", "/models/mine")
    monkeypatch.setenv("WHISPER_ALIASES", " whisper-1 = /models/mine , x=y,")
    settings = read()
    assert settings.whisper_aliases == {"whisper-1": "/models/mine", "x": "y"}
    assert settings.catalog.admit("whisper-1") == "whisper-1"


@pytest.mark.parametrize("value", ["whisper-1", "=tiny", "a=", "a=b,c"])
def test_an_alias_without_both_sides_is_refused(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_ALIASES", value)
    with pytest.raises(ValidationError, match="alias=model"):
        read()


@pytest.mark.parametrize(("name", "value"), [("LOG_LEVEL", "LOUD"), ("S3_ADDRESSING_STYLE", "x")])
def test_a_value_that_is_not_on_the_list_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        read()


def test_settings_do_not_change_once_read() -> None:
    settings = read()
    with pytest.raises(ValidationError):
        settings.bucket = "other"  # type: ignore[misc]


def test_a_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "s3cret")
    settings = KeySettings()
    assert "s3cret" not in repr(settings)
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "s3cret"


def test_an_empty_key_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "")
    assert KeySettings().api_key is None
