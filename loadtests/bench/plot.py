"""
Line charts as SVG, drawn here so that a report is one file without scripts or libraries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 44
LEGEND_LINE = 16
#: Told apart by eyes that see no red or no green, and each has a marker of its own besides.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
TICKS = 5

Points = Sequence[tuple[float, float]]


class Axis(NamedTuple):
    """One axis: what it shows, from where to where."""

    label: str
    low: float
    high: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return where *value* lies, 0..1."""
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        return (at - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[float]:
        """Return round values to be written beside the axis."""
        if self.is_log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        step = _round_step((self.high - self.low) / TICKS)
        first_tick = math.ceil(self.low / step - 1e-9)
        return [step * n for n in range(first_tick, math.floor(self.high / step + 1e-9) + 1)]


def line_chart(
    title: str, x_label: str, y_label: str, series: dict[str, Points], *, log_x: bool = False
) -> str:
    """
    Draw lines with markers; the y axis begins at 0.

    Args:
        series: Points by name; those without any are left out.

        log_x: Tenfold steps along x; values must then be above 0.

    Returns:
        An `<svg>` element; a short text if there is nothing to draw.
    """
    drawn = {name: sorted(points) for name, points in series.items() if points}
    if not drawn:
        return f"<p>{escape(title)}: no data.</p>"
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [y for points in drawn.values() for _, y in points]
    x_axis = Axis(x_label, min(xs) if log_x else min(0.0, *xs), max(xs), log_x)
    y_axis = Axis(y_label, 0.0, 1.05 * max(*ys, 1e-9))
    height = HEIGHT + LEGEND_LINE * len(drawn)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">',
        f'<text x="{LEFT}" y="20" class="title">{escape(title)}</text>',
        *_grid(x_axis, y_axis),
    ]
    for number, (name, points) in enumerate(drawn.items()):
        parts += _line(points, x_axis, y_axis, number)
        parts += _legend(name, number)
    return "\n".join([*parts, "</svg>"])


def _grid(x_axis: Axis, y_axis: Axis) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in y_axis.ticks():
        y = _y(y_axis, tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{short(tick)}</text>')
    for tick in x_axis.ticks():
        x = _x(x_axis, tick)
        parts.append(f'<path d="M{x:.1f} {bottom}v4" class="axis"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" class="middle">{short(tick)}</text>')
    middle_x, middle_y = (LEFT + right) / 2, (TOP + bottom) / 2
    return [
        *parts,
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" class="axis"/>',
        f'<text x="{middle_x}" y="{bottom + 36}" class="middle">{escape(x_axis.label)}</text>',
        f'<text x="14" y="{middle_y}" class="middle" '
        f'transform="rotate(-90 14 {middle_y})">{escape(y_axis.label)}</text>',
    ]


def _line(points: Points, x_axis: Axis, y_axis: Axis, number: int) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    places = [(_x(x_axis, x), _y(y_axis, y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(_marker(x, y, number) for x, y in places),
    ]


def _marker(x: float, y: float, number: int) -> str:
    colour = COLOURS[number % len(COLOURS)]
    match number % 3:
        case 0:
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        case 1:
            return f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6" fill="{colour}"/>'
        case _:
            return f'<path d="M{x:.1f} {y - 4:.1f}l4 7h-8z" fill="{colour}"/>'


def _legend(name: str, number: int) -> list[str]:
    y = HEIGHT + LEGEND_LINE * number + 8
    return [
        _marker(LEFT + 4, y - 4, number),
        f'<text x="{LEFT + 16}" y="{y}">{escape(name)}</text>',
    ]


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _round_step(step: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(power * n for n in (1, 2, 5, 10) if power * n >= step * (1 - 1e-9))


def short(value: float) -> str:
    """Write a figure in few characters: 1 500 000 is `1.5M`."""
    for limit, sign in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{sign}"
    return f"{value:.3g}"
