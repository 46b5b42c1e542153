"""The `features` namespace: several events as one run.

Checks at dispatch that every step has its target, and that what is known of its input fits; makes the steps in
the worker through the executors of their namespaces. What a step has done is kept with the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from core import clock
from core.errors import ApiError, FieldError, Invalid
from core.fields import dotted
from executors import inputs, registry, samples
from executors.base import (
    VALIDATION_ERROR,
    AttemptFailed,
    Call,
    Done,
    Executor,
    Failed,
    Gone,
    Outcome,
    Steps,
    longest_first,
    redacted_value,
)
from executors.catalog.actions import OpenedAction
from executors.catalog.components import Found, Opened, find, open_one
from executors.catalog.sealed import secret_forms
from executors.catalog.values import must_know
from executors.expressions import (
    AuthScope,
    ExpressionError,
    InputScope,
    Layer,
    Reference,
    StepsScope,
    resolve,
    resolve_known,
)
from executors.namespaces.component import ComponentExecutor, unforeseen, without_secrets
from executors.providers.feature.engine import PARALLEL, Engine, Progress
from executors.providers.feature.inputs import DispatchScope, as_data, with_defaults, wrong_values
from executors.providers.feature.plan import MOST_RETRIES, Step, WrongPlan, plan_of, references_in_feature
from executors.providers.function.provider import CODES as FUNCTION_CODES

DEEPEST = 5  # features within features


@dataclass(frozen=True, slots=True)
class OpenedFeature:
    """A feature with the targets of its steps, resolved; `targets` by the tags of the steps."""

    opened: Opened
    plan: tuple[Step, ...]
    targets: Mapping[str, tuple[Executor, Any]]


class FeaturesExecutor(ComponentExecutor):
    """Runs `{"tag": …}`; `feature` is another name for `tag`."""

    kind = "feature"
    names_event = False
    codes = FUNCTION_CODES  # a run fails with the code of its step

    def check(
        self,
        *,
        product_id: int,
        environment_id: int,
        target: Mapping[str, Any],
        input: Mapping[str, Any],
        recurring: bool,
    ) -> None:
        tag, _ = self._names(target)
        found = find(self.kind, product_id=product_id, environment_id=environment_id, tag=tag)
        filled = samples.put_in(input, samples.of_component(found))
        known = with_defaults(found.settings.get("input", {}), inputs.known_at_dispatch(found, filled))
        if errors := list(wrong_values(found.settings.get("input", {}), known)):
            raise Invalid.fields(errors[: inputs.MOST_PROBLEMS])
        with _inside(tag):
            plan = _plan(found)
            must_know(found.values, _references(found, plan), environment_id)
            for step in plan:
                if step.namespace:
                    self._check_step(step, product_id, environment_id, known, recurring)

    def _check_step(
        self, step: Step, product_id: int, environment_id: int, input: Mapping[str, Any], recurring: bool
    ) -> None:
        try:
            registry.get(step.namespace).check(
                product_id=product_id,
                environment_id=environment_id,
                target=step.target,
                input=as_data(resolve_known(dict(step.input), now=clock.machine_now(), scope=DispatchScope(input))),
                recurring=recurring,
            )
        except ExpressionError as error:
            raise Invalid.field("input", f"step {step.tag!r} of the feature: {error}", code=error.code) from None
        except ApiError as error:
            detail = f"step {step.tag!r} of the feature: {error.detail}"
            told = [
                FieldError(dotted(f"steps.{step.tag}", each.field), each.code, each.detail) for each in error.errors
            ]
            raise type(error)(detail, code=error.code, errors=told) from None

    def references(
        self, product_id: int, environment_id: int, target: Mapping[str, Any]
    ) -> Iterator[tuple[str, Reference]]:
        """Those of the feature, and of the features among its steps."""
        tag, _ = self._names(target)
        found = find(self.kind, product_id=product_id, environment_id=environment_id, tag=tag)
        plan = _plan(found)
        yield from _references(found, plan)
        for step in plan:
            if step.namespace == "features":
                for at, reference in self.references(product_id, environment_id, step.target):
                    yield dotted(f"steps.{step.tag}", at), reference

    def resolve(self, *, product_id: int, environment_id: int, target: Mapping[str, Any]) -> OpenedFeature:
        tag, _ = self._names(target)
        opened = open_one(self.kind, product_id=product_id, environment_id=environment_id, tag=tag)
        plan = _plan(opened.found)
        targets: dict[str, tuple[Executor, Any]] = {}
        with _inside(tag):
            for step in plan:
                if step.namespace:
                    executor = registry.get(step.namespace)
                    resolved = executor.resolve(
                        product_id=product_id, environment_id=environment_id, target=step.target
                    )
                    targets[step.tag] = (executor, resolved)
        return OpenedFeature(opened, plan, targets)

    async def execute(self, call: Call) -> Outcome:
        return await _Run(call).outcome()

    def resolved_input(self, call: Call) -> dict[str, Any]:
        feature: OpenedFeature = call.resolved
        found = feature.opened.found
        call = samples.in_call(call, samples.of_component(found))
        return with_defaults(found.settings.get("input", {}), inputs.resolved(call, found.values).value)


def _plan(found: Found) -> tuple[Step, ...]:
    """The steps of a stored feature. Raises Invalid where it was stored before what refuses it now."""
    try:
        return plan_of(found.settings)
    except WrongPlan as wrong:
        raise Invalid.field(wrong.at, f"{found} cannot be run: {wrong}") from None


def _references(found: Found, plan: Sequence[Step]) -> Iterator[tuple[str, Reference]]:
    for step in plan:
        yield from ((f"steps.{step.tag}.{place}", reference) for place, reference in step.references)
    yield from references_in_feature(found.settings.get("output"), "output")


class _Run:
    """One attempt of one run."""

    def __init__(self, call: Call) -> None:
        self._call, self._feature = call, call.resolved
        self._settings = self._feature.opened.found.settings
        self._watched = inputs.Watched(self._feature.opened.found.values)
        self._secrets: tuple[str, ...] = ()  # of the input as it was given
        self._input: Mapping[str, Any] = {}

    async def outcome(self) -> Outcome:
        try:
            found = self._feature.opened.found
            given = inputs.resolved(samples.in_call(self._call, samples.of_component(found)), found.values)
            self._secrets = longest_first(self._call.secrets, given.secrets)
            self._input = with_defaults(self._settings.get("input", {}), given.value)
            if wrong := next(iter(wrong_values(self._settings.get("input", {}), self._input)), None):
                raise AttemptFailed(VALIDATION_ERROR, f"{wrong.field}: {wrong.detail}")
            result = await self._made()
        except AttemptFailed as error:
            return without_secrets(error.failed, self._hidden())
        except (ApiError, Gone):
            raise
        except Exception as error:
            return unforeseen(error, self._call, self._hidden())
        return Done(redacted_value(result, self._hidden()))

    async def _made(self) -> Mapping[str, Any]:
        options = self._settings.get("options", {})
        recorded = self._call.steps or InMemory()
        engine = Engine(
            self._feature.plan, recorded, self._step, self._resolve, parallel=options.get("parallel", PARALLEL)
        )
        timeout = options["timeout"] / 1000 if options.get("timeout") else None
        try:
            async with asyncio.timeout(timeout):
                progress = await engine.run()
        except TimeoutError:
            raise AttemptFailed("TIMEOUT", f"the feature was not done within {timeout:.3g} s", retryable=True) from None
        output = self._settings.get("output")
        if output is None:
            return dict(progress.outputs)
        try:
            told = self._resolve(output, progress)
        except ExpressionError as error:
            raise AttemptFailed(VALIDATION_ERROR, f"the feature's {inputs.told(error, 'output')}") from None
        return told if isinstance(told, Mapping) else {"output": told}

    async def _step(self, step: Step, progress: Progress, attempt: int) -> Outcome:
        """One attempt of a step, by the executor of its namespace: under a key that is the step's own. Its number is
        no earlier attempt's, whichever attempt of the run that was in and whatever `retries` said then: what is made
        of it is made anew."""
        executor, resolved = self._feature.targets[step.tag]
        auth = AuthScope(resolved.auth if isinstance(resolved, OpenedAction) else {})
        call, input = self._call, self._resolve(dict(step.input), progress, auth)
        self._watched.opened |= auth.opened
        made = replace(
            call,
            run_key=f"{call.run_key}:{step.tag}",
            attempt=(call.attempt - 1) * (MOST_RETRIES + 1) + attempt,
            attempt_of_run=call.attempt_of_run or call.attempt,
            namespace=step.namespace,
            target=step.target,
            resolved=resolved,
            input=input,
            literal=True,
            secrets=self._hidden(),  # those that the input has by now
            timeout=call.timeout if step.timeout is None else min(call.timeout, step.timeout),
            steps=Within(call.steps, step.tag) if call.steps is not None else None,
        )
        outcome = await executor.execute(made)
        if isinstance(outcome, Failed):
            return without_secrets(outcome, self._hidden())
        return Done(redacted_value(outcome.result, self._hidden()))

    def _resolve(self, value: Any, progress: Progress, *more: Layer) -> Any:
        sequences: dict[str, dict[str, Any]] = {}
        for step in self._feature.plan:
            if step.tag in progress.outputs:
                sequences.setdefault(step.sequence, {})[step.tag] = progress.outputs[step.tag]
        steps = StepsScope(progress.outputs, sequences)
        scope = inputs.scope_of(self._call, InputScope(self._input), steps, self._watched, *more)
        return resolve(value, scope, now=clock.machine_now())

    def _hidden(self) -> tuple[str, ...]:
        return longest_first(self._secrets, secret_forms(self._watched.opened))


_path: ContextVar[tuple[str, ...]] = ContextVar("features", default=())


@contextmanager
def _inside(tag: str) -> Iterator[None]:
    """Among the steps of that feature. Raises Invalid where it would come to run itself, or goes too deep."""
    path = _path.get()
    if tag in path:
        circle = " → ".join([*path[path.index(tag) :], tag])
        raise Invalid.field("tag", f"these features run each other in a circle: {circle}")
    if len(path) >= DEEPEST:
        raise Invalid.field("tag", f"features run features {DEEPEST} deep at most: {' → '.join([*path, tag])}")
    token = _path.set((*path, tag))
    try:
        yield
    finally:
        _path.reset(token)


class Within:
    """What a step keeps of itself: under its own name, among the steps of the run."""

    def __init__(self, steps: Steps, tag: str) -> None:
        self._steps, self._prefix = steps, f"{tag}/"

    async def all(self) -> Mapping[str, Mapping[str, Any]]:
        found = await self._steps.all()
        return {
            name.removeprefix(self._prefix): value for name, value in found.items() if name.startswith(self._prefix)
        }

    async def record(self, name: str, value: Mapping[str, Any]) -> None:
        await self._steps.record(self._prefix + name, value)


class InMemory:
    """Steps of an attempt that keeps none."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[str, Any]] = {}

    async def all(self) -> Mapping[str, Mapping[str, Any]]:
        return self._known

    async def record(self, name: str, value: Mapping[str, Any]) -> None:
        self._known[name] = value
