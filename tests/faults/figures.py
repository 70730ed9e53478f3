"""What a measured scenario found.  It notes its figures first and asks for its bounds last, so that a run that breaks
one still shows them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    scenario: str
    what: str
    values: dict[str, float]
    bound: str = ""
    broken: bool = False

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value:g}" for name, value in self.values.items())
        return f"{self.what}: {values}" + (f" ({self.bound}{', BROKEN' if self.broken else ''})" if self.bound else "")


@dataclass
class Figures:
    """The figures of one scenario."""

    scenario: str
    noted: list[Figure] = field(default_factory=list)

    def numbers(self, what: str, **values: float) -> None:
        """Note numbers that have no bound."""
        self._note(Figure(self.scenario, what, {name: round(value, 3) for name, value in values.items()}))

    def at_most(self, what: str, bound: float, value: float, unit: str = "") -> None:
        """Note a number that must not be larger."""
        self._note(
            Figure(self.scenario, what, {unit or "count": round(value, 3)}, f"at most {bound:g}", broken=value > bound)
        )

    def spread(
        self, what: str, seconds: Sequence[float], *, p99_below: float | None = None, at_most: float | None = None
    ) -> None:
        """Note how a number of times, in seconds, is spread."""
        if not seconds:
            self._note(Figure(self.scenario, what, {"n": 0}))
            return
        times = sorted(seconds)
        values = {"n": len(times), "p50": percentile(times, 50), "p99": percentile(times, 99), "max": times[-1]}
        bounds = [f"p99 below {p99_below:g} s"] if p99_below is not None else []
        bounds += [f"at most {at_most:g} s"] if at_most is not None else []
        broken = (p99_below is not None and values["p99"] >= p99_below) or (
            at_most is not None and values["max"] > at_most
        )
        rounded = {name: round(value, 3) for name, value in values.items()}
        self._note(Figure(self.scenario, what, rounded, ", ".join(bounds), broken))

    def broken(self) -> list[str]:
        """The bounds that were broken."""
        return [str(figure) for figure in self.noted if figure.broken]

    def _note(self, figure: Figure) -> None:
        self.noted.append(figure)
        print(figure)


def percentile(sorted_times: Sequence[float], percent: int) -> float:
    """The smallest of them that at least `percent` of a hundred do not exceed."""
    return sorted_times[max(0, -(-len(sorted_times) * percent // 100) - 1)]
