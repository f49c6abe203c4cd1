"""The figures of figures.toml, each with where it comes from."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["price", "measured", "setting", "assumption", "yours"]

FIGURES = Path(__file__).with_name("figures.toml")

_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_FIELDS = {"kind", "value", "unit", "what", "source", "dated", "why", "note"}


class FigureError(ValueError):
    """A figure that cannot be used; the message says which one, and why."""


@dataclass(frozen=True)
class Figure:
    """One number: ``yours`` is one that was given on the command line."""

    name: str
    kind: Kind
    value: float
    unit: str
    what: str
    source: str = ""
    dated: str = ""
    why: str = ""
    note: str = ""

    @property
    def origin(self) -> str:
        """Where it comes from, for a table."""
        if self.kind == "yours":
            return "given on the command line"
        if self.kind == "assumption":
            return self.why
        parts = [self.source, self.dated, self.note]
        return ", ".join(part for part in parts if part)


class Figures(Mapping[str, float]):
    """Values by name."""

    def __init__(self, figures: Mapping[str, Figure]) -> None:
        self._figures = dict(figures)

    def __getitem__(self, name: str) -> float:
        return self._figures[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def kind(self, name: str) -> Kind:
        """What sort of number it is."""
        return self._figures[name].kind

    @property
    def all(self) -> tuple[Figure, ...]:
        """Every figure with where it comes from, in the order of the file."""
        return tuple(self._figures.values())

    def with_yours(self, given: Mapping[str, float]) -> "Figures":
        """These, but for those that are ``given``. Raises FigureError for a name that is none."""
        if unknown := given.keys() - self._figures.keys():
            raise FigureError(f"there is no figure {', '.join(sorted(unknown))}")
        return Figures(
            self._figures
            | {
                name: replace(self._figures[name], kind="yours", value=value)
                for name, value in given.items()
            }
        )


def load(path: Path = FIGURES) -> Figures:
    """The figures of a file. Raises FigureError for one without an origin."""
    with path.open("rb") as file:
        return Figures({name: parse(name, fields) for name, fields in tomllib.load(file).items()})


def parse(name: str, fields: Mapping[str, object]) -> Figure:
    """One table of the file. Raises FigureError."""
    if unknown := fields.keys() - _FIELDS:
        raise FigureError(f"{name} has unknown fields: {', '.join(sorted(unknown))}")
    value = fields.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise FigureError(f"{name}: 'value' must be a number, 0 or more")
    text = {key: str(content) for key, content in fields.items() if key != "value"}
    if missing := {"kind", "unit", "what"} - text.keys():
        raise FigureError(f"{name} lacks {', '.join(sorted(missing))}")
    figure = Figure(name=name, value=float(value), **text)  # type: ignore[arg-type]
    _demand_origin(figure)
    return figure


def _demand_origin(figure: Figure) -> None:
    name, kind = figure.name, figure.kind
    if kind not in get_args(Kind) or kind == "yours":
        raise FigureError(f"{name}: {kind!r} is no kind of figure")
    if kind == "assumption":
        if not figure.why:
            raise FigureError(f"{name} is an assumption: say 'why', and on which side it errs")
        return
    if not figure.source:
        raise FigureError(f"{name} has no 'source'")
    if kind == "price":
        if not figure.source.startswith("https://"):
            raise FigureError(f"{name} is a price: its 'source' must be an https address")
        if not _DATE.fullmatch(figure.dated):
            raise FigureError(f"{name} is a price: say when its source said so, 'dated' 2026-08-31")
