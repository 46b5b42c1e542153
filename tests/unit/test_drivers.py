"""The drivers of optional systems: each is there for the tests, of the extra that it is said to be, and missed by name."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module, metadata
from pathlib import Path

import pytest

from executors.catalog import kinds
from executors.catalog.reading import Problems

ROOT = Path(__file__).resolve().parents[2]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
DRIVERS = [
    (kind.name, type, *driver)
    for kind in kinds.all_kinds()
    if isinstance(kind, kinds.ShapedKind)
    for type, driver in kind.drivers.items()
]


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._\-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def brought_by(extra: str) -> set[str]:
    """The distributions that an extra installs, with what these need."""
    pending, brought = [name_of(requirement) for requirement in EXTRAS[extra]], set[str]()
    while pending:
        name = pending.pop()
        if name not in brought:
            brought.add(name)
            needed = metadata.requires(name) or []
            pending += [name_of(requirement) for requirement in needed if "extra ==" not in requirement]
    return brought


def distribution_of(module: str) -> str:
    """Which installed distribution has the module: `google` alone is many's."""
    path = f"{module.replace('.', '/')}/__init__.py"
    [name] = {
        each.metadata["Name"]
        for each in metadata.distributions()
        if any(str(file) == path for file in each.files or ())
    }
    return name_of(name)


@pytest.mark.parametrize(("kind", "type", "module", "extra"), DRIVERS)
def test_a_declared_driver_can_be_imported_and_belongs_to_its_extra(
    kind: str, type: str, module: str, extra: str
) -> None:
    import_module(module)
    assert distribution_of(module) in brought_by(extra)


def test_every_extra_brings_a_driver_and_is_locked() -> None:
    assert {extra for _, _, _, extra in DRIVERS} == EXTRAS.keys()
    lines = (ROOT / "dependencies-extras.in").read_text().splitlines()
    locked = [line for line in lines if line and not line.startswith(("#", "-"))]
    assert sorted(locked) == sorted(requirement for listed in EXTRAS.values() for requirement in listed)


@pytest.mark.parametrize(
    ("type", "module", "extra"),
    [("gcs", "google.cloud.storage", "gcs"), ("azure", "azure.storage.blob", "azure"), ("s3", "botocore", "aws")],
)
def test_a_missing_driver_is_told_with_its_extra(
    type: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = kinds.get("storage")
    assert isinstance(kind, kinds.ShapedKind)
    assert kind.drivers[type] == (module, extra)
    gone = module.rpartition(".")[0] + ".gone" if "." in module else "gone"  # the packages around it are there
    monkeypatch.setitem(kind.drivers, type, (gone, extra))
    problems = Problems()

    kind.read({"tag": "files", "type": type}, "storage.0", problems)

    detail = f"{type} needs the extra {extra!r}, which is not installed: pip install 'ductape-jobs[{extra}]'"
    assert [(each.field, each.code, each.detail) for each in problems.errors] == [
        ("storage.0.type", "driver_missing", detail)
    ]


def test_a_driver_whose_packages_are_missing_too_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = kinds.get("storage")
    assert isinstance(kind, kinds.ShapedKind)
    monkeypatch.setitem(kind.drivers, "gcs", ("nowhere.at.all", "gcs"))
    assert "'ductape-jobs[gcs]'" in (kind.missing_driver("gcs") or "")
