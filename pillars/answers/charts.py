"""Small line charts as inline SVG: no script, no other host; colours come from the page's style, so they follow light and dark."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pillars.vocabulary import Measure

WIDTH, HEIGHT = 640, 250  # of the view box; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 46, 96, 16, 44
LABEL_GAP = 14  # least distance of two line names
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Line:
    """One line: a measure per period, None where there is none. `tone` is its class in the page's style; `band` draws the interval."""

    name: str
    tone: str
    points: tuple[Measure | None, ...]
    band: bool = False


@dataclass(frozen=True)
class Scale:
    """Where values (between `low` and `high`) and places (0 to `places` - 1) lie in the view box."""

    low: float
    high: float
    places: int

    def x(self, place: int) -> float:
        """The middle of a place, in units of the view box."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (place + 0.5) / max(self.places, 1)

    def y(self, value: float) -> float:
        """The height of a value; larger values lie higher."""
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - self.low) / (self.high - self.low))


def chart(title: str, periods: Sequence[str], lines: Sequence[Line], under: Sequence[str], level: float | None = None) -> str:
    """The SVG; empty when there is nothing to draw. `under`: a word below each period (who scored it); `level`: a dashed line there."""
    drawn = [line for line in lines if any(line.points)]
    if not drawn:
        return ""
    ticks = _ticks(drawn, level)
    scale = Scale(ticks[0], ticks[-1], len(periods))
    parts = [
        *_grid(scale, ticks),
        *_places(scale, periods, under),
        *([] if level is None else [_level(scale, level)]),
        *(_band(scale, line) for line in drawn if line.band),
        *(_path(scale, line) + _dots(scale, line, periods) for line in reversed(drawn)),
        *_names(scale, drawn),
    ]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def short(period: str, periods: Sequence[str]) -> str:
    """A period's name on an axis: the month alone where all lie in one year, a block's number without zeros before it."""
    month = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", period)
    if month is None:
        return period.lstrip("0") or period
    one_year = all(other.startswith(month[1]) for other in periods)
    return MONTHS[int(month[2]) - 1] + ("" if one_year else f" {month[1][2:]}")


def _ticks(lines: Sequence[Line], level: float | None) -> list[float]:
    """Four to seven round values around all points, steps of 1, 2 or 5 times a power of ten."""
    bounds = [bound for line in lines for p in line.points if p for bound in ((p.low, p.high) if line.band else (p.value, p.value))]
    low, high = min([*bounds, *([] if level is None else [0.0])]), max([*bounds, *([] if level is None else [level])])
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span / 3))
    step = next(step * factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    first = math.floor(low / step + 1e-9)
    return [step * n for n in range(first, max(math.ceil(high / step - 1e-9), first + 1) + 1)]


def _grid(scale: Scale, ticks: Sequence[float]) -> list[str]:
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return [
        f'<path class="grid" d="M{LEFT} {scale.y(tick):.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="tick end" x="{LEFT - 8}" y="{scale.y(tick) + 4:.1f}">{tick:.{digits}f}</text>'
        for tick in ticks
    ]


def _places(scale: Scale, periods: Sequence[str], under: Sequence[str]) -> list[str]:
    every = math.ceil(len(periods) / 12)
    return [
        f'<text class="tick mid" x="{scale.x(i):.1f}" y="{HEIGHT - 26}">{escape(short(period, periods))}</text>'
        f'<text class="tick mid faint" x="{scale.x(i):.1f}" y="{HEIGHT - 12}">{escape(word)}</text>'
        for i, (period, word) in enumerate(zip(periods, under, strict=True))
        if i % every == 0
    ]


def _level(scale: Scale, level: float) -> str:
    y = scale.y(level)
    return (
        f'<path class="level" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/><text class="tick" x="{WIDTH - RIGHT + 8}" y="{y + 4:.1f}">alarm</text>'
    )


def _runs(line: Line) -> list[list[tuple[int, Measure]]]:
    """Unbroken stretches of the line."""
    runs: list[list[tuple[int, Measure]]] = [[]]
    for place, point in enumerate(line.points):
        if point is None:
            runs.append([])
        else:
            runs[-1].append((place, point))
    return [run for run in runs if run]


def _band(scale: Scale, line: Line) -> str:
    shapes = []
    for run in _runs(line):
        above = [f"{scale.x(i):.1f} {scale.y(p.high):.1f}" for i, p in run]
        below = [f"{scale.x(i):.1f} {scale.y(p.low):.1f}" for i, p in reversed(run)]
        shapes.append(f'<path class="band {line.tone}" d="M{"L".join([*above, *below])}Z"/>')
    return "".join(shapes)


def _path(scale: Scale, line: Line) -> str:
    runs = ("L".join(f"{scale.x(i):.1f} {scale.y(p.value):.1f}" for i, p in run) for run in _runs(line))
    return "".join(f'<path class="line {line.tone}" d="M{run}"/>' for run in runs)


def _dots(scale: Scale, line: Line, periods: Sequence[str]) -> str:
    """Points with a tooltip; the ring around them is only there to be hit by a pointer."""
    found = [(i, p, str(p) if line.band else f"{p.value:.4g}") for i, p in enumerate(line.points) if p is not None]
    return "".join(
        f'<g class="dot {line.tone}"><title>{escape(f"{line.name}, {periods[i]}: {words}")}</title>'
        f'<circle class="hit" cx="{scale.x(i):.1f}" cy="{scale.y(p.value):.1f}" r="11"/>'
        f'<circle cx="{scale.x(i):.1f}" cy="{scale.y(p.value):.1f}" r="3"/></g>'
        for i, p, words in found
    )


def _names(scale: Scale, lines: Sequence[Line]) -> list[str]:
    """Each line's name at its right end, pushed apart where they would cover each other."""
    if len(lines) < 2:
        return []
    ends = sorted((scale.y(_runs(line)[-1][-1][1].value), line.name, line.tone) for line in lines)
    placed: list[str] = []
    y = -math.inf
    for wanted, name, tone in ends:
        y = max(wanted, y + LABEL_GAP)
        placed.append(f'<text class="name {tone}" x="{WIDTH - RIGHT + 8}" y="{y + 4:.1f}">{escape(name)}</text>')
    return placed
