"""The input of a job: checked as far as it is known at dispatch, and resolved for each attempt in the worker.

Shared by the namespaces whose input is one JSON object of its own (an action's is put into a request first:
`executors.exchange`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core import clock
from core.errors import FieldError, Invalid
from core.fields import dotted
from core.times import to_ms
from executors.base import VALIDATION_ERROR, AttemptFailed, Call, redacted
from executors.catalog.components import Found
from executors.catalog.sealed import secret_forms
from executors.catalog.values import Values, must_know
from executors.expressions import (
    ExpressionError,
    Layer,
    Moment,
    Reference,
    ScopeChain,
    SessionScope,
    VariablesScope,
    check_expressions,
    has_expressions,
    never_computable,
    resolve,
    resolve_known,
    texts_in,
)

MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Resolved:
    """An input with everything in it replaced by what it stands for. A time is a `Moment`, an int of ms."""

    value: dict[str, Any]
    secrets: tuple[str, ...] = field(default=(), repr=False)  # that were opened for it, in every form


def known_at_dispatch(found: Found, input: Mapping[str, Any]) -> dict[str, Any]:
    """The input with what is known by now; `executors.expressions.Unknown` stands where only a run knows.

    Raises Invalid with every expression that is wrong, NotFound for a reference to nothing.
    """
    if not has_expressions(input):
        return dict(input)
    expressions = check_expressions(input, "input")
    if expressions.errors:
        raise Invalid.fields(expressions.errors[:MOST_PROBLEMS])
    must_know(found.values, expressions.references, found.environment_id)
    now = clock.machine_now()
    if errors := never_computable(input, "input", now=now):
        raise Invalid.fields(errors[:MOST_PROBLEMS])
    known: dict[str, Any] = resolve_known(dict(input), now=now)
    return known


def resolved(call: Call, values: Values) -> Resolved:
    """The input of one attempt. Raises AttemptFailed where something in it stands for nothing."""
    if call.literal or not has_expressions(call.input):
        return Resolved(dict(call.input), call.secrets)
    watched = Watched(values)
    try:
        value = resolve(dict(call.input), scope_of(call, watched), now=clock.machine_now())
    except ExpressionError as error:
        detail = redacted(told(error), secret_forms(watched.opened))
        raise AttemptFailed(VALIDATION_ERROR, f"the input cannot be resolved: {detail}") from None
    return Resolved(value, secret_forms(watched.opened))


def require_session(input: Mapping[str, Any], also: Iterable[tuple[str, Reference]] = ()) -> None:
    """Raise Invalid for each `$Session{…}` of a dispatch that has no `session`: in its input, and what `also` names."""
    written = [*check_expressions(input, "input").references, *also] if has_expressions(input) else also
    places = [(at, found) for at, found in written if found.kind == "Session"]
    if places:
        why = "has no value without a session: give `session` with the dispatch"
        raise Invalid.fields(
            [
                FieldError(at, "session_required", f"at offset {found.at}: {found} {why}")
                for at, found in places[:MOST_PROBLEMS]
            ]
        )


def scope_of(call: Call, *layers: Layer) -> ScopeChain:
    """What the references in the input of an attempt stand for, with the layers that its namespace adds."""
    facts = {
        "execution_count": int(call.run_key.split(":")[1]),
        "attempt": call.attempt_of_run or call.attempt,
        "job_id": call.job_id,
        "scheduled_at": Moment(to_ms(call.scheduled_at)),
    }
    scopes: list[Layer] = [*layers, VariablesScope(facts)]
    if call.session is not None:
        scopes.append(SessionScope(call.session.tag, call.session.data))
    return ScopeChain(*scopes)


def told(error: ExpressionError, path: str = "input") -> str:
    """What is wrong, at the field that it is in."""
    for name in error.path:
        path = dotted(path, name)
    return f"{path}: {error}"


class Watched:
    """The values of an environment, and which secrets of them were opened, or parts of them computed."""

    kinds = Values.kinds

    def __init__(self, values: Values) -> None:
        self._values = values
        self.opened: set[str] = set()

    def value_of(self, reference: Reference) -> Any:
        self.opened |= {self._values.secret(key) for key in self._values.secrets_behind(reference)}
        return self._values.value_of(reference)

    def computed(self, references: Sequence[Reference], value: Any) -> None:
        if any(self._values.secrets_behind(reference) for reference in references if reference.kind in self.kinds):
            self.opened.update(texts_in(value))
