import importlib
import inspect
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

MODULES = (
    "whisperdrop.settings",
    "whisperdrop_api.settings",
    "whisperdrop_worker.settings",
    "whisperdrop_dispatcher.settings",
    "whisperdrop_notifier.settings",
    "whisperdrop_bridge.settings",
    "whisperdrop_local.settings",
)


def settings_classes() -> list[type[BaseSettings]]:
    return [
        value
        for module in map(importlib.import_module, MODULES)
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, BaseSettings)
        and value.__module__ == module.__name__
    ]


CLASSES = settings_classes()


def test_every_process_has_its_settings() -> None:
    assert {cls.__module__ for cls in CLASSES} == set(MODULES)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: str(cls.__name__))
def test_every_setting_says_what_it_means(cls: type[BaseSettings]) -> None:
    from whisperdrop_local.document_settings import meanings

    texts = {
        name: text
        for ancestor in cls.__mro__
        if issubclass(ancestor, BaseSettings) and ancestor is not BaseSettings
        for name, text in meanings(ancestor).items()
    }
    assert [name for name in cls.model_fields if not texts.get(name)] == []


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: str(cls.__name__))
def test_settings_do_not_change_once_they_are_read(cls: type[BaseSettings]) -> None:
    assert cls.model_config.get("frozen") is True
    assert cls.model_config.get("env_ignore_empty") is True


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: str(cls.__name__))
def test_every_setting_is_on_the_page(cls: type[BaseSettings]) -> None:
    from whisperdrop_local.document_settings import render

    page = render()
    assert [name for name in cls.model_fields if f"`{name.upper()}`" not in page] == []


def test_the_page_of_settings_is_up_to_date(project_root: Path) -> None:
    from whisperdrop_local.document_settings import render

    page = (project_root / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == render(), "docs/settings.md is out of date: run `make docs`"
