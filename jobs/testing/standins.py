"""Stand-ins: what answers a run in a test, in place of its executor, so that no remote system is needed."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from core.errors import ApiError, Invalid
from core.fields import suggestion
from executors import registry
from executors.base import INTERNAL_ERROR, TIMEOUT, AttemptFailed, Call, Done, Failed, Outcome
from jobs.operations.targets import target_names
from jobs.runner.attempt import Execute
from jobs.testing.stepping import Stepping

Said = Mapping[str, Any] | Done | Failed | AttemptFailed | None
Answer = Said | Callable[[Call], Said | Awaitable[Said]]


def check_names(named: Mapping[str, Answer]) -> None:
    """Raise Invalid for a name that can be no run's."""
    for name in named:
        namespace = name.partition("/")[0]
        if namespace not in registry.known():
            raise Invalid.field(
                "executors", f"{name!r} begins with no namespace: {suggestion(namespace, registry.known())}"
            )


class StandIns:
    """Which answer stands in for which run: the one under the longest name that fits it, else `answer`."""

    def __init__(self, stepping: Stepping, answer: Answer, named: Mapping[str, Answer]) -> None:
        self._stepping = stepping
        self._answer = answer
        self._named = dict(named)
        self._known: dict[tuple[str, str], Execute | None] = {}
        self.raised: Exception | None = None  # what is no way for a run to fail: it ends all of it

    def of(self, namespace: str, target: str) -> Execute | None:
        """What makes the attempts of that target, a JSON text; or None: the executor itself."""
        key = (namespace, target)
        if key not in self._known:
            answer = self._find(namespace, json.loads(target))
            self._known[key] = None if answer is None else self._execute(answer)
        return self._known[key]

    def _find(self, namespace: str, target: Mapping[str, Any]) -> Answer:
        parts = [str(target[name]) for name in target_names(namespace).fields if target.get(name) is not None]
        for length in range(len(parts), -1, -1):
            name = "/".join([namespace, *parts[:length]])
            if name in self._named:
                return self._named[name]
        return self._answer

    def _execute(self, answer: Answer) -> Execute:
        async def execute(call: Call) -> Outcome:
            resolved = getattr(registry.get(call.namespace), "resolved_input", None)
            if resolved is not None and (input := resolved(call)) != call.input:
                call = replace(call, input=input)
            try:
                said: Any = answer
                if callable(answer):
                    said = await self._stepping.call(answer, call)
                    if inspect.isawaitable(said):
                        async with asyncio.timeout(call.timeout):
                            said = await said
                return _outcome(cast("Said", said), call)
            except (AttemptFailed, ApiError):
                raise
            except TimeoutError:
                return Failed(code=TIMEOUT, message="a stand-in gave no answer in time", retryable=True)
            except Exception as error:  # an assertion, or a mistake: the test's own business
                self.raised = error
                return Failed(code=INTERNAL_ERROR, message=f"a stand-in raised {error!r}", retryable=False)

        return execute


def _outcome(said: Said, call: Call) -> Outcome:
    if isinstance(said, AttemptFailed):
        raise said
    if isinstance(said, (Done, Failed)):
        return said
    if said is None or isinstance(said, Mapping):
        return Done(dict(said or {}))
    raise TypeError(
        f"the stand-in of a run of {call.namespace!r} said {said!r}: a result is a mapping, Done or None; "
        "a failure is Failed, or AttemptFailed raised"
    )
