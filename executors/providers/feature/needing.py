"""What the features of a product need: the targets of their steps, those of the features in them included. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from executors.catalog.usage import Named
from executors.providers.feature.kind import KIND
from executors.providers.feature.plan import Step, WrongPlan, plan_of


def named_feature(tag: str) -> Named:
    """How a job, or a step, names a feature."""
    return Named(namespaces=KIND.namespaces, target=KIND.target, tag=tag)


def steps_of(features: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Step, ...]]:
    """The steps of features, which are given by tag as they are stored."""
    return {tag: _steps(settings) for tag, settings in features.items()}


def with_features(named: Iterable[Named], steps: Mapping[str, tuple[Step, ...]]) -> frozenset[Named]:
    """These, and all features that run one of them, in whatever depth."""
    needed, left = set(named), dict(steps)
    while found := [tag for tag, each in left.items() if any(_runs(step, needed) for step in each)]:
        needed.update(map(named_feature, found))
        for tag in found:
            del left[tag]
    return frozenset(needed)


def _runs(step: Step, needed: Iterable[Named]) -> bool:
    return any(each.is_in(step.namespace, step.target) for each in needed)


def _steps(settings: Mapping[str, Any]) -> tuple[Step, ...]:
    try:
        return plan_of(settings)
    except WrongPlan:
        return ()  # of an older version: no run of it gets as far as its steps
