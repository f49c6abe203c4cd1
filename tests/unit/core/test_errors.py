import inspect
import re
from collections.abc import Iterator

import pytest

from whisperdrop import errors
from whisperdrop.errors import WhisperdropError, status_of

Drawn = tuple[str, str | None, int, str]
"""Class, parent, status, code."""

_LINE = re.compile(
    r"^(?P<branch>[ │├└─]*)(?P<name>[A-Z]\w+Error)\s+(?P<status>\d{3}) (?P<code>[a-z_]+)(\s|$)"
)


def drawn_tree(docstring: str) -> Iterator[Drawn]:
    """The tree of the docstring: four columns of indentation are one level."""
    path: list[str] = []
    for line in docstring.splitlines():
        if "Error" not in line or not line.startswith("    "):
            continue
        match = _LINE.match(line)
        assert match, f"a line of the tree without a status and a code: {line!r}"
        level = len(match["branch"]) // 4 - 1
        assert level <= len(path), f"{line!r} has no parent"
        del path[level:]
        yield match["name"], path[-1] if path else None, int(match["status"]), match["code"]
        path.append(match["name"])


def real_tree() -> list[Drawn]:
    classes = [
        cls
        for cls in vars(errors).values()
        if inspect.isclass(cls) and issubclass(cls, WhisperdropError)
    ]
    return [
        (
            cls.__name__,
            None if cls is WhisperdropError else cls.__bases__[0].__name__,
            cls.status,
            cls.code,
        )
        for cls in classes
    ]


def test_the_tree_is_drawn_as_it_is() -> None:
    assert sorted(drawn_tree(errors.__doc__ or "")) == sorted(real_tree())


def test_codes_are_unique_and_stable_in_form() -> None:
    codes = [code for _, _, _, code in real_tree()]
    assert len(set(codes)) == len(codes)
    assert [code for code in codes if not re.fullmatch(r"[a-z][a-z_]*", code)] == []


def test_every_class_says_what_it_means() -> None:
    assert [cls for cls, *_ in real_tree() if not inspect.getdoc(getattr(errors, cls))] == []


@pytest.mark.parametrize(("name", "status", "code"), [(n, s, c) for n, _, s, c in real_tree()])
def test_a_stored_code_leads_back_to_its_status(name: str, status: int, code: str) -> None:
    assert status_of(code) == status
    assert getattr(errors, name)("what to do").message == "what to do"


def test_a_code_of_a_newer_version_is_an_internal_error() -> None:
    assert status_of("invented_tomorrow") == 500


def test_a_tree_that_is_drawn_wrongly_is_seen() -> None:
    drawing = """Errors.

    RootError              500 root
    ├── LeftError             400 a
    │   └── LeafError         404 b     why
    └── RightError             503 c
    """
    assert list(drawn_tree(drawing)) == [
        ("RootError", None, 500, "root"),
        ("LeftError", "RootError", 400, "a"),
        ("LeafError", "LeftError", 404, "b"),
        ("RightError", "RootError", 503, "c"),
    ]
    with pytest.raises(AssertionError, match="without a status"):
        list(drawn_tree("    RootError  the first"))
