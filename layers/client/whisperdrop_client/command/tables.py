"""Lists: a table on a terminal, tab-separated columns elsewhere, JSON lines where asked."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """``rows`` under ``columns``; what is piped has no header, so that `cut` and `awk` serve."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(_one_line(cell) for cell in row))
        return
    rows = list(rows)
    if not rows:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_one_line(cell)) for cell in row))
    Console().print(table)


def show_json(documents: Iterable[Mapping[str, Any]]) -> None:
    """One object a line."""
    for document in documents:
        print(json.dumps(document, ensure_ascii=False), flush=True)


def details(pairs: Iterable[tuple[str, str | None]]) -> None:
    """Names and values of one thing; what has no value is left out."""
    for name, value in pairs:
        if value is not None:
            print(f"{name + ':':<12}{_one_line(value)}")


def shortened(digest: str) -> str:
    """On a terminal the beginning of a digest, which is enough to name it; elsewhere all of it."""
    return digest[:12] if sys.stdout.isatty() else digest


def moment(value: datetime | None) -> str:
    """In the user's own time zone."""
    return "" if value is None else f"{value.astimezone():%Y-%m-%d %H:%M:%S}"


def _one_line(cell: str) -> str:
    # A file's name may hold anything; a terminal must not obey it.
    return "".join(c if c.isprintable() else " " for c in cell)
