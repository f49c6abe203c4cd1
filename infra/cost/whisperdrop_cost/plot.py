"""The picture: dollars for an hour of audio, by how many hours come in a day."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from whisperdrop_cost.figures import Figures
from whisperdrop_cost.scenarios import (
    GPU_INSTANCES,
    HOSTED,
    MINUTES,
    Runner,
    at_once,
    at_random,
    runners,
)

_WIDTH, _HEIGHT = 900, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 250, 46, 48  # margins, in pixels
_STEPS = 60
_HOURS = (MINUTES / 60, 2000.0)  # one file a day, and more than anybody has
_USD = (0.003, 10.0)
_COLOURS = ("#2f6fde", "#0f9d76", "#c2571a", "#8a4fd3", "#b03a6f", "#5b7a1f")
_GREY = "#8a94a6"
_CSS = (
    "text{font:12px system-ui,sans-serif;fill:#1c2430}.title{font-weight:600;font-size:15px}"
    ".axis{stroke:#8a94a6;stroke-width:.5}"
    "@media(prefers-color-scheme:dark){text{fill:#e6eaf2}}"
)


@dataclass(frozen=True)
class _Line:
    label: str
    usd_at: Callable[[float], float]
    colour: str
    dashed: bool = False


def svg(figures: Figures, instances: Sequence[str] = GPU_INSTANCES) -> str:
    """Files of ten minutes, at random (solid) and once a day (dashed), beside hosted services."""
    title = "USD for an hour of audio: ten-minute files at random (solid), in one batch (dashed)"
    pieces = [_text(8, 24, title, "title"), *_axes()]
    labels: list[tuple[float, str, str]] = []
    for line in _lines(figures, instances):
        points = [(hours, line.usd_at(hours)) for hours in _spread(*_HOURS)]
        pieces.append(_path(points, line))
        if not line.dashed:
            labels.append((_y(points[-1][1]), line.label, line.colour))
    for figure in figures.all:
        if figure.name in HOSTED:
            y = _y(figure.value)
            pieces.append(
                f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                f'stroke="{_GREY}" stroke-dasharray="2 4"/>'
            )
            labels.append((y, f"{figure.what} {figure.value:.2f}", _GREY))
    pieces += _labels(labels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"><title>{escape(title)}</title>'
        f"<style>{_CSS}</style>\n" + "\n".join(pieces) + "\n</svg>\n"
    )


def _lines(figures: Figures, instances: Sequence[str]) -> list[_Line]:
    chosen = [runner for runner in runners(figures, instances) if not runner.spot]
    lines = []
    for runner, colour in zip(chosen, _COLOURS, strict=False):
        lines.append(_Line(_label(runner), _random(figures, runner), colour))
        if runner.instance is not None:
            lines.append(_Line(runner.label, _batch(figures, runner), colour, dashed=True))
    return lines


def _label(runner: Runner) -> str:
    return runner.label if runner.instance is None else f"{runner.label}, {runner.model}"


def _random(figures: Figures, runner: Runner) -> Callable[[float], float]:
    return lambda hours: at_random(hours * 60 / MINUTES, MINUTES)(figures, runner).usd_per_audio_h


def _batch(figures: Figures, runner: Runner) -> Callable[[float], float]:
    return lambda hours: at_once(hours, MINUTES)(figures, runner).usd_per_audio_h


def _spread(low: float, high: float) -> list[float]:
    return [low * (high / low) ** (step / _STEPS) for step in range(_STEPS + 1)]


def _x(hours: float) -> float:
    share = math.log(hours / _HOURS[0]) / math.log(_HOURS[1] / _HOURS[0])
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(usd: float) -> float:
    share = math.log(usd / _USD[0]) / math.log(_USD[1] / _USD[0])
    share = min(1.0, max(0.0, share))
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _axes() -> list[str]:
    pieces = []
    for usd in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0):
        y = _y(usd)
        pieces.append(
            f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        pieces.append(_text(8, y + 4, f"${usd:g}"))
    for hours in (1.0, 10.0, 100.0, 1000.0):
        x = _x(hours)
        top, bottom = _TOP, _HEIGHT - _BOTTOM
        pieces.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        pieces.append(_text(x - 10, bottom + 18, f"{hours:g} h"))
    pieces.append(_text(_LEFT, _HEIGHT - 10, "hours of audio a day"))
    return pieces


def _path(points: Sequence[tuple[float, float]], line: _Line) -> str:
    places = " ".join(f"{_x(hours):.1f},{_y(usd):.1f}" for hours, usd in points)
    dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
    return (
        f'<polyline fill="none" stroke="{line.colour}" stroke-width="2"{dashes} points="{places}"/>'
    )


def _labels(labels: Sequence[tuple[float, str, str]]) -> list[str]:
    """At the right, each beside its line but never on another."""
    pieces = []
    lowest = 0.0
    for y, label, colour in sorted(labels):
        lowest = max(y + 4, lowest + 14)
        x = _WIDTH - _RIGHT + 8
        pieces.append(
            f'<rect x="{x}" y="{lowest - 9:.1f}" width="9" height="9" rx="2" fill="{colour}"/>'
        )
        pieces.append(_text(x + 14, lowest, label))
    return pieces


def _text(x: float, y: float, content: str, style: str = "") -> str:
    marked = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{marked}>{escape(content)}</text>'
