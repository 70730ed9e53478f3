"""The charts of a report, as SVG without a library: few shapes, readable in light and dark."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from report import Report

#: Lengths in the SVG's own units; a letter is at most as wide as `LETTER`.
WIDTH, LETTER, BAR, GAP, TOP, FOOT = 820, 7.4, 20, 9, 56, 320
OURS, INK, OTHERS = "#d9480f", "#6b7785", ("#1971c2", "#2f9e44", "#9c36b5", "#748ca3", "#c2255c", "#0c8599", "#5f3dc4")


def bars(report: Report, column: str, unit: str, folder: Path, *, log: bool = False) -> None:
    """One bar for each row: the median of `column`, with a line from the least to the most.  Writes `QUESTION.svg`."""
    rows = {row: values[column] for row, values in report.rows.items() if column in values}
    positive = [value for values in rows.values() for value in values if value > 0] or [1.0]
    floor = 10.0 ** math.floor(math.log10(min(positive) * 0.99)) if log else 0.0
    left = 16 + LETTER * max(map(len, rows), default=0)

    def x(value: float) -> float:
        return left + (WIDTH - left - 110) * _share(max(value, floor), floor, max(positive), log=log)

    shapes = _titles(report.title, unit + (" (logarithmic)" if log else ""))
    for number, (row, values) in enumerate(rows.items()):
        top = TOP + number * (BAR + GAP)
        middle, colour = statistics.median(values), OURS if row.startswith("autoposter") else OTHERS[3]
        shapes.append(_text(left - 8, top + 15, row, "end"))
        shapes.append(f'<rect x="{left:.1f}" y="{top}" width="{x(middle) - left:.1f}" height="{BAR}" fill="{colour}"/>')
        shapes.append(_line(x(min(values)), top + BAR / 2, x(max(values)), top + BAR / 2))
        lost = statistics.median(report.rows[row].get("lost", [0]))  # what never came is in no other figure
        shapes.append(_text(x(max(values)) + 8, top + 15, _number(middle) + (f", {lost:.0f} lost" if lost else "")))
    _write(folder / f"{report.question}.svg", TOP + len(rows) * (BAR + GAP), shapes)


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    axes: tuple[str, str],
    file: Path,
    *,
    log: bool = False,
) -> None:
    """One line for each series of points; `log`: both axes are logarithmic."""
    across = _ticks([x for each in series.values() for x, _ in each], log=log)
    up = _ticks([y for each in series.values() for _, y in each], log=log)
    left, right = 70.0, WIDTH - 24 - LETTER * max(map(len, series))

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (right - left) * _share(x, across[0], across[-1], log=log),
            FOOT - (FOOT - TOP - 10) * _share(y, up[0], up[-1], log=log),
        )

    shapes = _titles(title, f"{axes[1]} over {axes[0]}" + (" (both logarithmic)" if log else ""))
    shapes += [_line(left, FOOT, right, FOOT), _line(left, TOP, left, FOOT)]
    shapes += [_text(at(x, up[0])[0], FOOT + 18, _number(x), "middle") for x in across]
    shapes += [_text(left - 6, at(across[0], y)[1] + 4, _number(y), "end") for y in up]
    colours = dict(zip(series, [OURS, *OTHERS], strict=False))
    lowest = FOOT + 16.0
    for name, each in sorted(series.items(), key=lambda one: -at(*one[1][-1])[1]):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in each))
        shapes.append(f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        lowest = min(at(*each[-1])[1], lowest - 16)  # names of lines that end side by side stand one over the other
        shapes.append(_text(right + 12, lowest + 4, name, colour=colours[name]))
    _write(file, FOOT + 28, shapes)


def _share(value: float, low: float, high: float, *, log: bool) -> float:
    """How far a value is from `low` to `high`, from 0 to 1."""
    if log:
        value, low, high = math.log10(value), math.log10(low), math.log10(high)
    return (value - low) / ((high - low) or 1)


def _ticks(values: Sequence[float], *, log: bool) -> list[float]:
    """Round numbers around the values: powers of ten, or a few steps from 0."""
    if log:
        first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return [10.0**power for power in range(first, max(last, first + 1) + 1)]
    most = max(*values, 1e-9)
    power = 10.0 ** math.floor(math.log10(most))
    step = next(power * part for part in (0.2, 0.5, 1, 2) if most <= 6 * power * part)
    return [number * step for number in range(math.ceil(most / step) + 1)]


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _titles(title: str, unit: str) -> list[str]:
    return [_text(8, 18, title, bold=True), _text(8, 38, unit)]


def _text(x: float, y: float, text: str, anchor: str = "start", *, bold: bool = False, colour: str = INK) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{INK}"/>'


def _write(file: Path, height: float, shapes: Sequence[str]) -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif"'
    file.write_text(f'{head} font-size="13">\n' + "\n".join(shapes) + "\n</svg>\n")
