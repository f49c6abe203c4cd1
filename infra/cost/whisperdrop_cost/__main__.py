"""``python -m whisperdrop_cost``: dollars for an hour of audio, beside hosted services."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from whisperdrop_cost import plot, report
from whisperdrop_cost.figures import FigureError, Figures, load
from whisperdrop_cost.scenarios import GPU_INSTANCES, MINUTES, speed_name

_BLOCK = re.compile(r"(<!-- cost: begin -->\n```text\n).*?(```\n<!-- cost: end -->)", re.DOTALL)


def main(arguments: list[str] | None = None) -> int:
    """Parse, print, write, and answer with an exit status."""
    options = _parser().parse_args(arguments)
    instances: Sequence[str] = [options.instance] if options.instance else GPU_INSTANCES
    try:
        figures = load().with_yours(_given(options, instances))
    except FigureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    tables = report.text(figures, instances=instances, files=options.files, minutes=options.minutes)
    print(tables, end="")
    _write(options, figures, instances, tables)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="whisperdrop_cost", description=__doc__)
    parser.add_argument("--instance", choices=GPU_INSTANCES, help="this one alone; default: all")
    parser.add_argument("--speed", type=_positive, help="of the instances, times real time")
    parser.add_argument("--price", type=_positive, help="of the instances, on demand, USD/h")
    parser.add_argument("--files", type=_positive, help="a day of yours: so many files, at random")
    parser.add_argument("--minutes", type=_positive, default=MINUTES, help="length of every file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any figure by its name, as gpu.idle_exit_s=60 or spot.discount=0.5; repeatable",
    )
    parser.add_argument("--json", type=Path, help="write the same for a program")
    parser.add_argument("--plot", type=Path, help="write the picture (SVG)")
    parser.add_argument("--page", type=Path, help="put the tables into a page, between its marks")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _given(options: argparse.Namespace, instances: Sequence[str]) -> dict[str, float]:
    given = {}
    for pair in options.set:
        name, _, value = pair.partition("=")
        try:
            given[name] = float(value)
        except ValueError as error:
            raise FigureError(f"--set takes NAME=VALUE with a number, not {pair!r}") from error
    for instance in instances:
        if options.speed is not None:
            given[speed_name(instance)] = options.speed
        if options.price is not None:
            given[instance] = options.price
    return given


def _write(
    options: argparse.Namespace, figures: Figures, instances: Sequence[str], tables: str
) -> None:
    if options.json:
        found = report.data(
            figures, instances=instances, files=options.files, minutes=options.minutes
        )
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        options.plot.write_text(plot.svg(figures, instances))
    if options.page:
        page = options.page.read_text()
        options.page.write_text(_BLOCK.sub(lambda found: found[1] + tables + found[2], page))


if __name__ == "__main__":
    sys.exit(main())
