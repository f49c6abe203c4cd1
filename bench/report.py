"""What a run leaves: tables for a person, JSON for a program, bars for a page."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.workspace import WORKSPACE, cores

_LIBRARIES = ("whisperdrop", "faster-whisper", "ctranslate2", "onnxruntime", "av", "numpy")

_WIDTH, _LABEL, _VALUE = 860, 300, 90  # of the picture, its labels and its figures, in pixels
_BAR, _HEADING = 22, 40
_COLOURS = ("#8a94a6", "#2f6fde")
_CSS = (
    "text{font:13px system-ui,sans-serif;fill:#1c2430}.title{font-weight:600;font-size:15px}"
    "@media(prefers-color-scheme:dark){text{fill:#e6eaf2}}"
)


@dataclass(frozen=True)
class Table:
    """Rows of text under a title; the first column is a name, the others are figures."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""

    def __str__(self) -> str:
        lines = [self.title, *(f"  {line}" for line in aligned([self.columns, *self.rows]))]
        return "\n".join([*lines, *([f"  {self.note}"] if self.note else [])])


@dataclass(frozen=True)
class Bar:
    """One bar; ours is drawn in another colour."""

    label: str
    value: float
    ours: bool = False


@dataclass(frozen=True)
class Chart:
    """Bars with a common scale."""

    title: str
    bars: Sequence[Bar]
    suffix: str = ""


@dataclass(frozen=True)
class Section:
    """What one section of a run found."""

    name: str
    tables: Sequence[Table]
    data: Mapping[str, Any]
    charts: Sequence[Chart] = field(default_factory=tuple)
    met: bool = True
    """False when a target was missed."""

    def __str__(self) -> str:
        return "\n\n".join(str(table) for table in self.tables)


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines with the first column to the left and the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def machine() -> dict[str, Any]:
    """Where this was measured; never its name or its paths."""
    return {
        "architecture": platform.machine(),
        "system": platform.system(),
        "cores": cores(),
        "python": platform.python_version(),
        "load_average": list(os.getloadavg()),
        "versions": {name: found for name in _LIBRARIES if (found := _version(name))},
    }


def write(
    name: str,
    sections: Sequence[Section],
    *,
    about: Mapping[str, Any],
    folder: Path = WORKSPACE,
) -> list[Path]:
    """``{name}-{now}.json``, and ``.svg`` if a section has bars; where they are."""
    now = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}-{now:%Y%m%dT%H%M%SZ}"
    content = {
        "at": now.isoformat(),
        "machine": machine(),
        **about,
        "sections": {section.name: section.data for section in sections},
    }
    written = [stem.with_suffix(".json")]
    written[0].write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    charts = [chart for section in sections for chart in section.charts]
    if charts:
        written.append(stem.with_suffix(".svg"))
        written[1].write_text(svg(charts))
    return written


def svg(charts: Sequence[Chart]) -> str:
    """All of ``charts``, one below the other."""
    pieces: list[str] = []
    top = 0
    for chart in charts:
        pieces.append(_text(8, top + 26, chart.title, "title"))
        top += _HEADING
        longest = max((bar.value for bar in chart.bars), default=0.0) or 1.0
        for bar in chart.bars:
            width = max(1.0, bar.value / longest * (_WIDTH - _LABEL - _VALUE))
            figure = f"{bar.value:.1f}{chart.suffix}"
            pieces.append(_text(8, top + 15, bar.label))
            pieces.append(
                f'<rect x="{_LABEL}" y="{top + 2}" width="{width:.1f}" height="{_BAR - 6}" rx="2" '
                f'fill="{_COLOURS[bar.ours]}"/>'
            )
            pieces.append(_text(_LABEL + width + 6, top + 15, figure))
            top += _BAR
    height = top + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img"><style>{_CSS}</style>\n'
        + "\n".join(pieces)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, content: str, style: str = "") -> str:
    marked = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{marked}>{escape(content)}</text>'


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
