"""WHEN: a schedule, its occurrences, and what a scheduler that looks at them does. Pure: no database, no clock.

Decisions in the table of `docs/time.md`. `now` is always an argument.
"""

from jobs.schedule.model import Schedule
from jobs.schedule.occurrences import due_at, first_occurrence, latest_occurrence, next_occurrence, next_on_grid
from jobs.schedule.parsing import parse_schedule
from jobs.schedule.preview import Preview, describe, preview
from jobs.schedule.promotion import Plan, Span, past_span, plan_promotion
from jobs.schedule.readings import ClockChange, clock_change

__all__ = [
    "ClockChange",
    "Plan",
    "Preview",
    "Schedule",
    "Span",
    "clock_change",
    "describe",
    "due_at",
    "first_occurrence",
    "latest_occurrence",
    "next_occurrence",
    "next_on_grid",
    "parse_schedule",
    "past_span",
    "plan_promotion",
    "preview",
]
