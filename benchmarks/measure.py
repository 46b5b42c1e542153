"""What is measured and how it is told: samples, medians, spreads, ratios. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One quantity, one number a repetition."""

    samples: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        return median(self.samples)

    def __str__(self) -> str:
        low, high = min(self.samples), max(self.samples)
        return f"{number(self.median)} [{number(low)}–{number(high)}] {self.unit}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lateness:
    """p50, p99 and the worst of each repetition, in ms."""

    p50: Figure
    p99: Figure
    worst: Figure

    @classmethod
    def of(cls, repetitions: Sequence[Sequence[float]]) -> Lateness:
        return cls(
            p50=Figure(samples=tuple(percentile(late, 0.50) for late in repetitions), unit="ms"),
            p99=Figure(samples=tuple(percentile(late, 0.99) for late in repetitions), unit="ms"),
            worst=Figure(samples=tuple(max(late) for late in repetitions), unit="ms"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a row's table: who, what was measured, and what it is worth beside the peers."""

    who: str
    cells: tuple[str, ...]


@dataclass(slots=True)
class Row:
    """A row of the goals, measured."""

    number: str
    title: str
    goal: str
    columns: tuple[str, ...]
    lines: list[Line] = field(default_factory=list)
    ratios: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, who: str, *cells: object) -> None:
        """Append a line; it has a cell for each column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"row {self.number} has {len(self.columns)} columns, {who!r} gives {len(cells)} cells")
        self.lines.append(Line(who=who, cells=tuple(str(cell) for cell in cells)))

    def markdown(self) -> str:
        """The row as a section of the page."""
        head = ["", *self.columns]
        table = [head, ["---"] * len(head), *([line.who, *line.cells] for line in self.lines)]
        parts = [
            f"## {self.number}: {self.title}",
            f"Goal: {self.goal}",
            "\n".join("| " + " | ".join(cells) + " |" for cells in table),
            "\n".join(f"- **{ratio}**" for ratio in self.ratios),
            "\n".join(f"- {note}" for note in self.notes),
        ]
        return "\n\n".join(part for part in parts if part)

    def text(self) -> str:
        """The row for a terminal: the same, its columns in line."""
        head = ["", *self.columns]
        table = [head, *([line.who, *line.cells] for line in self.lines)]
        widths = [max(len(cells[index]) for cells in table) for index in range(len(head))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table]
        facts = [*self.ratios, *(f"({note})" for note in self.notes)]
        return "\n".join([f"{self.number}: {self.title}", f"goal: {self.goal}", *lines, *facts])


def number(value: float) -> str:
    """Three significant figures below a hundred, whole and grouped above."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def ratio(ours: Figure, theirs: Figure, name: str) -> str:
    """`ours` over the peer's, of the medians of one run."""
    return f"{ours.median / theirs.median:.2f} × {name}"
