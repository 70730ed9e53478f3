"""The charts of a report, as SVG without a library: few shapes, readable in light and dark."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from html import escape
from pathlib import Path

from report import Report

WIDTH, LEFT, RIGHT, BAR, GAP = 760, 210, 120, 22, 12
OURS, OTHERS, INK = "#d9480f", "#748ca3", "#6b7785"


def bars(report: Report, column: str, unit: str, folder: Path, *, log: bool = False) -> None:
    """One bar for each row: the median of `column`, with a line from the least to the most.  Writes `QUESTION.svg`."""
    rows = {row: values[column] for row, values in report.rows.items() if column in values}
    most = max(max(values) for values in rows.values())
    least = min(min(values) for values in rows.values() if min(values) > 0)
    reach = WIDTH - LEFT - RIGHT

    def x(value: float) -> float:
        if not log:
            return LEFT + reach * value / most
        floor = math.floor(math.log10(least))
        return LEFT + reach * max(0.0, math.log10(max(value, 1e-12)) - floor) / (math.log10(most) - floor)

    shapes = [_text(LEFT, 18, f"{report.title}: {unit}" + (" (logarithmic)" if log else ""), "start", bold=True)]
    for number, (row, values) in enumerate(rows.items()):
        top = 34 + number * (BAR + GAP)
        middle = statistics.median(values)
        colour = OURS if row.startswith("autoposter") else OTHERS
        shapes.append(_text(LEFT - 8, top + 16, row, "end"))
        shapes.append(f'<rect x="{LEFT}" y="{top}" width="{x(middle) - LEFT:.1f}" height="{BAR}" fill="{colour}"/>')
        shapes.append(_line(x(min(values)), top + BAR / 2, x(max(values)), top + BAR / 2))
        shapes.append(_text(x(max(values)) + 8, top + 16, f"{middle:,.3g}" if middle < 1000 else f"{middle:,.0f}"))
    _write(folder / f"{report.question}.svg", 40 + len(rows) * (BAR + GAP), shapes)


def lines(
    title: str,
    series: dict[str, Sequence[tuple[float, float]]],
    axes: tuple[str, str],
    file: Path,
    *,
    log: bool = False,
) -> None:
    """One line for each series of points; `log`: both axes are logarithmic."""
    scale = math.log10 if log else float
    points = [(scale(x), scale(y)) for each in series.values() for x, y in each]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = (min(y for _, y in points) if log else 0.0), max(y for _, y in points)
    height, foot = 260, 300

    def at(x: float, y: float) -> tuple[float, float]:
        across = (scale(x) - left) / ((right - left) or 1)
        up = (scale(y) - low) / ((high - low) or 1)
        return 80 + across * (WIDTH - 280), foot - up * (height - 30)

    shapes = [_text(80, 18, title, "start", bold=True), _line(80, foot, WIDTH - 200, foot), _line(80, 40, 80, foot)]
    shapes += [_text(80, foot + 32, axes[0], "start"), _text(76, 34, axes[1], "start")]
    for number, (name, each) in enumerate(series.items()):
        colour = OURS if number == 0 else ("#1971c2", "#2f9e44", "#9c36b5", OTHERS)[(number - 1) % 4]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in each))
        shapes.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = at(*each[-1])
        shapes.append(_text(x + 6, y + 4, name, "start", colour=colour))
    for x, y in {(x, y) for each in series.values() for x, y in (each[0], each[-1])}:
        shapes.append(_text(at(x, y)[0], foot + 16, f"{x:,.4g}" if x < 10_000 else f"{x:,.0f}", "middle"))
        shapes.append(_text(74, at(x, y)[1] + 4, f"{y:,.3g}", "end"))
    _write(file, foot + 44, shapes)


def _text(x: float, y: float, text: str, anchor: str = "start", *, bold: bool = False, colour: str = INK) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{INK}"/>'


def _write(file: Path, height: float, shapes: Sequence[str]) -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif"'
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'{head} font-size="13">\n' + "\n".join(shapes) + "\n</svg>\n")
