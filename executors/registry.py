"""Which executor runs a namespace: a name and a dotted path, loaded when it is first used.

Loading on first use keeps a process from importing drivers it never needs. Never runs anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from core.errors import FieldError, Invalid
from core.fields import suggestion
from executors.base import CODES, Executor
from executors.expressions import Reference

BUILT_IN = {
    "actions": "executors.namespaces.actions.ActionsExecutor",
    "features": "executors.namespaces.features.FeaturesExecutor",
    "graphs": "executors.namespaces.graphs.GraphsExecutor",
    "graphs.action": "executors.namespaces.graphs_action.GraphsActionExecutor",
    "notifications": "executors.namespaces.notifications.NotificationsExecutor",
    "storage": "executors.namespaces.storage.StorageExecutor",
    "functions": "executors.namespaces.functions.FunctionsExecutor",
    "events": "executors.namespaces.events.EventsExecutor",
    "databases": "executors.namespaces.databases.DatabasesExecutor",
    "databases.action": "executors.namespaces.databases_action.DatabasesActionExecutor",
}


def known() -> list[str]:
    """The namespaces that can be dispatched to, sorted."""
    return sorted({*BUILT_IN, *settings.EXTRA_EXECUTORS})


def get(namespace: str) -> Executor:
    """The executor of a namespace, one per process. Raises Invalid naming the known ones."""
    path = settings.EXTRA_EXECUTORS.get(namespace) or BUILT_IN.get(namespace)
    if path is None:
        raise unknown(namespace)
    return _load(namespace, path)


def unknown(namespace: str) -> Invalid:
    """What to tell of a namespace that is not known."""
    names = known()
    detail = f"there is no namespace {namespace[:60]!r}: {suggestion(namespace, names)}"
    return Invalid(
        detail if len(names) < 2 or "known:" in detail else f"{detail} (known: {', '.join(names)})",
        errors=[FieldError("namespace", "unknown_namespace", detail)],
    )


def codes(namespace: str) -> frozenset[str]:
    """What a run of the namespace can fail with. Raises Invalid for one that is not known."""
    return CODES.union(getattr(get(namespace), "codes", ()))


def references(
    namespace: str, *, product_id: int, environment_id: int, target: Mapping[str, Any]
) -> Iterable[tuple[str, Reference]]:
    """What a target that `check` has let through refers to by itself, besides the input of its job. May query."""
    of_target = getattr(get(namespace), "references", None)
    return of_target(product_id, environment_id, target) if of_target is not None else ()


@lru_cache(maxsize=64)
def _load(namespace: str, path: str) -> Executor:
    module, _, name = path.rpartition(".")
    try:
        executor = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(
            f"the namespace {namespace!r} needs the module {error.name!r}, which is not installed ({path})"
        ) from error
    except (AttributeError, ValueError) as error:
        raise ImproperlyConfigured(f"the executor of {namespace!r} is not found at {path!r}") from error
    return cast(Executor, executor())
