"""The tables of `make cost`, and the same as data."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from whisperdrop_cost.figures import Figures
from whisperdrop_cost.model import Cost
from whisperdrop_cost.scenarios import (
    GPU_INSTANCES,
    HOSTED,
    MINUTES,
    Runner,
    Scenario,
    break_evens,
    runners,
    scenarios,
)


def text(
    figures: Figures,
    *,
    instances: Sequence[str] = GPU_INSTANCES,
    files: float | None = None,
    minutes: float = MINUTES,
) -> str:
    """All tables, as `make cost` prints them."""
    blocks = [_scenario(figures, scenario, instances) for scenario in scenarios(files, minutes)]
    blocks.append(_break_even(figures, instances, minutes))
    blocks.append(_sources(figures))
    return "\n\n".join(blocks) + "\n"


def data(
    figures: Figures,
    *,
    instances: Sequence[str] = GPU_INSTANCES,
    files: float | None = None,
    minutes: float = MINUTES,
) -> dict[str, Any]:
    """The same for a program."""
    return {
        "scenarios": [
            {
                "title": scenario.title,
                "runners": [
                    {"runner": asdict(runner)} | _numbers(scenario.day(figures, runner))
                    for runner in runners(figures, instances)
                ],
            }
            for scenario in scenarios(files, minutes)
        ],
        "break_even_audio_h_per_day": {
            runner.label: break_evens(figures, runner, minutes)
            for runner in runners(figures, instances)
            if runner.instance is not None
        },
        "figures": [asdict(figure) for figure in figures.all],
    }


def _numbers(cost: Cost) -> dict[str, float]:
    return asdict(cost) | {"usd": cost.usd, "usd_per_audio_h": cost.usd_per_audio_h}


def _scenario(figures: Figures, scenario: Scenario, instances: Sequence[str]) -> str:
    parts_of_it = ("all", "working", "waiting", "requests", "idle stack")
    rows: list[tuple[str, ...]] = [
        ("USD for an hour of audio", *parts_of_it, "audio h a day", "USD a month")
    ]
    for runner in runners(figures, instances):
        cost = scenario.day(figures, runner)
        parts = (
            cost.usd_per_audio_h,
            cost.working_usd / cost.audio_h,
            cost.waiting_usd / cost.audio_h,
            cost.requests_usd / cost.audio_h,
            cost.idle_usd / cost.audio_h,
        )
        rows.append(
            (
                _label(runner),
                *(f"{part:.4f}" for part in parts),
                f"{cost.audio_h:,.1f}",
                f"{cost.usd * 30:,.2f}",
            )
        )
    rows += [
        (figure.what, f"{figure.value:.4f}", *6 * ("",))
        for figure in figures.all
        if figure.name in HOSTED
    ]
    return "\n".join([scenario.title, *(f"  {line}" for line in _aligned(rows))])


def _label(runner: Runner) -> str:
    if runner.instance is None:
        return f"{runner.label}, {runner.speed_x:.1f}x"
    how = " assumed" if runner.assumed else ""
    return f"{runner.label}, {runner.model}, {runner.speed_x:g}x{how}"


def _break_even(figures: Figures, instances: Sequence[str], minutes: float) -> str:
    named = [figure for figure in figures.all if figure.name in HOSTED]
    rows: list[tuple[str, ...]] = [("", *(figure.what for figure in named))]
    for runner in runners(figures, instances):
        if runner.instance is None:
            continue
        found = break_evens(figures, runner, minutes)
        cells = (found[figure.name] for figure in named)
        rows.append((runner.label, *("never" if h is None else f"{h:.1f} h" for h in cells)))
    title = "From how many hours of audio a day, all in one batch, a GPU of your own is cheaper"
    return "\n".join([title, *(f"  {line}" for line in _aligned(rows))])


def _sources(figures: Figures) -> str:
    lines = []
    for kind, title in (
        ("yours", "Given on the command line"),
        ("price", "Prices, with their sources and dates"),
        ("measured", "Measured"),
        ("setting", "Settings"),
        ("assumption", "Assumptions: not found, or not measured"),
    ):
        chosen = [figure for figure in figures.all if figure.kind == kind]
        if not chosen:
            continue
        lines.append(title)
        cells = [
            (figure.name, f"{figure.value:.10g} {figure.unit}", figure.what) for figure in chosen
        ]
        widths = [max(len(cell[column]) for cell in cells) for column in range(2)]
        for cell, figure in zip(cells, chosen, strict=True):
            lines.append(f"  {cell[0].ljust(widths[0])}  {cell[1].ljust(widths[1])}  {cell[2]}")
            lines.append(f"      {figure.origin}")
        lines.append("")
    return "\n".join(lines).rstrip()


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
