import pytest

from whisperdrop.domain.models import ModelCatalog
from whisperdrop.errors import ModelNotFoundError

CATALOG = ModelCatalog(("small", "/models/mine"), {"whisper-1": "/models/mine", "ghost": "medium"})


def test_the_first_model_is_the_default() -> None:
    assert CATALOG.default == "small"
    assert CATALOG.admit(None) == "small"
    assert CATALOG.admit("") == "small"


@pytest.mark.parametrize("name", ["small", "whisper-1"])
def test_a_served_model_is_admitted_by_its_name_and_by_its_alias(name: str) -> None:
    assert CATALOG.admit(name) == name


@pytest.mark.parametrize("name", ["medium", "ghost", "SMALL", "small ", "/models/mine"])
def test_what_is_not_served_is_refused_with_what_is(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="choose one of: small") as refusal:
        CATALOG.admit(name)
    assert "ghost" not in refusal.value.message.split("choose one of")[1]


def test_a_directory_goes_by_its_alias_even_as_the_default() -> None:
    assert ModelCatalog(("s3://weights/m",), {"mine": "s3://weights/m"}).default == "mine"


def test_a_refusal_repeats_only_the_beginning_of_a_long_name() -> None:
    with pytest.raises(ModelNotFoundError) as refusal:
        CATALOG.admit("x" * 10_000)
    assert len(refusal.value.message) < 300


def test_a_key_may_be_narrowed_to_some_models() -> None:
    assert CATALOG.admit("whisper-1", ("whisper-1",)) == "whisper-1"
    with pytest.raises(ModelNotFoundError, match=r"choose one of: whisper-1$"):
        CATALOG.admit("small", ("whisper-1",))


def test_the_default_of_a_narrowed_key_is_its_first_served_model() -> None:
    assert CATALOG.admit(None, ("medium", "whisper-1")) == "whisper-1"
    with pytest.raises(ModelNotFoundError, match="none of the models"):
        CATALOG.admit(None, ("medium",))
    with pytest.raises(ModelNotFoundError):
        CATALOG.admit(None, ())


def test_an_alias_of_a_served_name_is_listed_once() -> None:
    assert ModelCatalog(("small",), {"small": "small"}).names == ("small",)
