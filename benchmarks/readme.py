"""The README's table of figures: taken from docs/benchmarks.md, which the benchmarks write, and never typed.

`python -m benchmarks --write` puts it there; a test compares the two. Pure but for `update`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- figures: written by `make bench`, from docs/benchmarks.md -->", "<!-- end of figures -->"
# Of the rows that measure several of our arrangements, those to tell; of the others the first.
TOLD = {
    "P1": ("Ductape Jobs, 2 workers",),
    "P2": ("Ductape Jobs, 2 workers",),
    "P3": ("Ductape Jobs, 2 workers, 500 in flight in each",),
    "P9": (
        "Ductape Jobs, list, first page by cursor",
        "Ductape Jobs, history of the longest job",
        "Ductape Jobs, stats, everything",
    ),
    "P10": ("2 workers", "the same beside one that takes each request and never answers"),
    "P11": (
        "Ductape Jobs, 1 worker, up to 1000 at once",
        "`make up` in an empty folder, after installation: its first job is completed",
    ),
    "P12": ("no-op runs, 1 worker", "dispatches over REST, for later, 16 connections"),
    "P13": ("HTTP jobs alone", "the same beside 100 database jobs, each 25 s in `pg_sleep`"),
}
_PEER = re.compile(r"(plain |Celery|BullMQ|django-celery-beat)")
_SPREAD = re.compile(r" \[[^\]]*\]")
_NO_FIGURES = ("what is stored", "runs (of how many", "queries at once")
_HEAD = "| what is measured | Ductape Jobs | beside it, in the same run | again: `.venv/bin/python -m` |"


class NoSuchLine(Exception):
    """The page lacks a line that the README tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One row of the goals, as the page tells it."""

    number: str
    title: str
    columns: tuple[str, ...]
    lines: dict[str, tuple[str, ...]]  # by who


def update(readme: Path, page: Path) -> None:
    """Put the page's figures into the README."""
    text = readme.read_text()
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise NoSuchLine(f"{readme} has no place for figures: {BEGIN!r} to {END!r}")
    readme.write_text(f"{before}{BEGIN}\n\n{table(page.read_text())}\n\n{END}{after}")


def table(page: str) -> str:
    """The figures of every row that the page has, in the order of their numbers."""
    rows = [_row(section) for section in sorted(sections(page), key=lambda section: int(section.number[1:]))]
    return "\n".join([_HEAD, "|---|---|---|---|", *rows])


def sections(page: str) -> Iterator[Section]:
    """The page's rows."""
    for part in page.split("\n## ")[1:]:
        number, _, title = part.partition("\n")[0].partition(": ")
        head, _, *lines = [_cells(line) for line in part.splitlines() if line.startswith("| ")]
        yield Section(
            number=number, title=title, columns=tuple(head[1:]), lines={who: tuple(cells) for who, *cells in lines}
        )


def _row(section: Section) -> str:
    ours = [who for who in section.lines if not _PEER.match(who)]
    told = TOLD.get(section.number, tuple(ours[:1]))
    missing = [who for who in told if who not in section.lines]
    if missing or not told:
        raise NoSuchLine(
            f"docs/benchmarks.md has no line {missing} in {section.number}; it has {ours}: see benchmarks/readme.py"
        )
    peers = [who for who in section.lines if _PEER.match(who)]
    cells = [
        f"{section.number}: {section.title}",
        *("<br>".join(f"{who}: **{_figures(section, who)}**" for who in each) for each in (told, peers)),
        f"`benchmarks {section.number}`",
    ]
    return f"| {' | '.join(cells)} |"


def _figures(section: Section, who: str) -> str:
    """A line's medians, each with the name of its column where that says more than `median`."""
    told = []
    for column, cell in zip(section.columns, section.lines[who], strict=True):
        if cell and not column.startswith(_NO_FIGURES):
            name = "" if "median" in column else f"{column} "
            told.append(f"{name}{_SPREAD.sub('', cell)}")
    return ", ".join(told)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split(" | ")]
