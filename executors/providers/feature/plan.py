"""A feature as a plan: its steps, what each is for, and what has to end before it. Pure.

Both spellings of the documents become one: `steps` with `dependsOn`, and the older `sequence`, a list of
{tag, parents, events} whose events run one after the other, after those of its parents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from executors.expressions import (
    IN_A_FEATURE,
    IN_A_STEP_OF_AN_APP,
    ExpressionError,
    Reference,
    ReferenceKinds,
    check_expressions,
)
from executors.providers.feature.conditions import read_condition

MAIN = "main"  # the sequence of steps that are not given in one
SLEEP = "sleep"
MOST_RETRIES = 100  # of a step

# type → (namespace, or with an operation that one; the fields of the target)
_TARGETS: Mapping[str, tuple[str, str | None, tuple[str, ...]]] = {
    "action": ("actions", None, ("app", "event")),
    "notification": ("notifications", None, ("notification", "event")),
    "database": ("databases.action", "databases", ("database", "event")),
    "graph": ("graphs.action", "graphs", ("graph", "event")),
    "storage": ("storage", None, ("storage", "event")),
    "publish": ("events", None, ("broker", "event")),
    "function": ("functions", None, ("function",)),
    "feature": ("features", None, ("tag",)),
}
TYPES = (*_TARGETS, SLEEP)
TYPE_ALIASES = {
    "database_action": "database", "db_action": "database", "graph_action": "graph", "event": "publish",
    "messagebroker": "publish", "message_broker": "publish", "broker": "publish", "workflow": "feature",
}  # fmt: skip
# Where a step names its target: field → the field of the dispatch it stands for.
TARGET_FIELDS = (
    "app", "event", "action", "operation", "notification", "database", "graph", "storage", "broker", "topic", "function",
    "feature",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step. `namespace` is "" for a sleep."""

    tag: str
    type: str
    sequence: str
    namespace: str
    target: Mapping[str, Any]
    input: Mapping[str, Any]
    condition: Any  # read by `conditions`; None: always
    after: frozenset[str]  # steps that have to end before it
    allow_fail: bool
    retries: int
    retry_config: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None  # seconds, of each attempt
    seconds: float = 0.0  # of a sleep
    references: tuple[tuple[str, Reference], ...] = ()  # in its input and condition, each with its place in the step


class WrongPlan(Exception):
    """A plan that can never run. `at` is the dotted place in the feature."""

    def __init__(self, at: str, detail: str) -> None:
        super().__init__(detail)
        self.at = at


def plan_of(settings: Mapping[str, Any]) -> tuple[Step, ...]:
    """The steps of a stored feature, each after those it depends on. Raises WrongPlan."""
    written = list(_written(settings))
    if not written:
        raise WrongPlan("steps", "a feature needs at least one step")
    tags = [entry["tag"] for _, _, entry, _ in written]
    for position, (at, _, entry, _) in enumerate(written):
        if entry["tag"] in tags[:position]:
            raise WrongPlan(f"{at}.tag", f"{entry['tag']!r} is named twice")
    steps = [_step(at, sequence, entry, before, tags) for at, sequence, entry, before in written]
    return tuple(_in_order(steps, {entry["tag"]: at for at, _, entry, _ in written}))


def written_steps(settings: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(place, entry) of every step, as it is written."""
    yield from ((at, entry) for at, _, entry, _ in _written(settings))


def _written(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], frozenset[str]]]:
    """(place, sequence, entry, the steps that its sequence puts before it)."""
    for position, entry in enumerate(settings.get("steps", ())):
        yield f"steps.{position}", MAIN, entry, frozenset()
    members: dict[str, list[str]] = {}
    for position, sequence in enumerate(settings.get("sequence", ())):
        tag = sequence["tag"]
        before: set[str] = set()
        for parent in sequence.get("parents", ()):
            if parent not in members:
                raise WrongPlan(f"sequence.{position}.parents", f"{parent!r} is not a sequence before this one")
            before.update(members[parent])
        members[tag] = []
        for at, entry in enumerate(sequence.get("events", ())):
            own = members[tag][-1:]
            yield f"sequence.{position}.events.{at}", tag, entry, frozenset({*before, *own})
            members[tag].append(entry["tag"])


def _step(at: str, sequence: str, entry: Mapping[str, Any], before: frozenset[str], tags: Sequence[str]) -> Step:
    type, options = entry["type"], entry.get("options", {})
    after = set(before)
    for other in entry.get("dependsOn", ()):
        if other not in tags:
            raise WrongPlan(f"{at}.dependsOn", f"there is no step {other!r}")
        after.add(other)
    condition = entry.get("condition")
    if condition is not None:
        try:
            condition = read_condition(condition)
        except ExpressionError as error:
            raise WrongPlan(f"{at}.condition", str(error)) from None
    known = IN_A_STEP_OF_AN_APP if type == "action" else IN_A_FEATURE
    references = references_in_feature(entry.get("input"), f"{at}.input", known)
    references += references_in_feature(entry.get("condition"), f"{at}.condition")
    for place, reference in references:
        if (named := step_named(reference)) is None:
            continue
        if named not in tags:
            raise WrongPlan(place, f"{reference} refers to a step {named!r}, which there is none of")
        after.add(named)
    if entry["tag"] in after:
        raise WrongPlan(at, f"the step {entry['tag']!r} waits for itself")
    namespace, target = _target(at, type, entry)
    timeout = options.get("timeout")
    return Step(
        tag=entry["tag"],
        type=type,
        sequence=sequence,
        namespace=namespace,
        target=target,
        input=entry.get("input", {}),
        condition=condition,
        after=frozenset(after),
        allow_fail=options.get("allow_fail", False),
        retries=options.get("retries", 0),
        retry_config={name: value for name, value in options.get("retryConfig", {}).items() if value is not None},
        timeout=timeout / 1000 if timeout is not None else None,
        seconds=entry.get("duration", 0) / 1000,
        references=tuple((place.removeprefix(f"{at}."), reference) for place, reference in references),
    )


def _target(at: str, type: str, entry: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if type == SLEEP:
        if entry.get("duration") is None:
            raise WrongPlan(f"{at}.duration", "is required: how long to sleep, in ms")
        return "", {}
    namespace, with_operation, fields = _TARGETS[type]
    given = {name: entry[name] for name in TARGET_FIELDS if entry.get(name) is not None}
    if "action" in given and "event" not in given:
        given["event"] = given.pop("action")
    if type == "feature":
        given = {
            "tag": given.get("feature", given.get("event")),
            **{k: v for k, v in given.items() if k not in {"feature", "event"}},
        }
    if type == "storage" and "operation" in given and "event" not in given:
        given["event"] = given.pop("operation")
    if type == "publish" and "topic" in given and "event" not in given:
        given["event"] = given.pop("topic")
    if type == "function" and "event" in given and "function" not in given:
        given["function"] = given.pop("event")
    if with_operation is not None and "operation" in given:
        namespace, fields = with_operation, (fields[0], "operation")
    for name in fields:
        if given.get(name) is None:
            raise WrongPlan(
                f"{at}.{'feature' if (type, name) == ('feature', 'tag') else name}",
                f"is required for a step of type {type}",
            )
    for name in given:
        if name not in fields:
            raise WrongPlan(f"{at}.{name}", f"does not belong to a step of type {type}: that has {', '.join(fields)}")
    return namespace, given


def references_in_feature(value: Any, at: str, known: ReferenceKinds = IN_A_FEATURE) -> list[tuple[str, Reference]]:
    """The references in a JSON value of a feature, with their places. Raises WrongPlan for an expression that is none."""
    found = check_expressions(value, at, known=known)
    if found.errors:
        raise WrongPlan(found.errors[0].field, found.errors[0].detail)
    return found.references


def step_named(reference: Reference) -> str | None:
    """The step whose output a reference is of."""
    if reference.kind == "Step":
        return reference.names[0]
    if reference.kind == "Sequence":
        return reference.names[1]
    return None


def _in_order(steps: Sequence[Step], places: Mapping[str, str]) -> Iterator[Step]:
    """Those first that wait for nothing; a circle is told."""
    left, ended = list(steps), set[str]()
    while left:
        ready = [step for step in left if step.after <= ended]
        if not ready:
            circle = ", ".join(step.tag for step in left)
            raise WrongPlan(places[left[0].tag], f"these steps wait for each other in a circle: {circle}")
        yield from ready
        ended.update(step.tag for step in ready)
        left = [step for step in left if step not in ready]
