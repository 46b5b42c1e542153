"""What the acceptance tests share: one PostgreSQL cluster, one system that faults are done to, and a notebook."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.system import Cluster, System
from tests.servers.breakable import Redis
from tests.servers.local import postgres_binaries as binaries

NOTES = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOTES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line a fault: what was measured."""
    notes = config.stash[NOTES]
    if notes:
        terminalreporter.section("what was measured")
        for name, text in sorted(notes):
            terminalreporter.write_line(f"{name:5} {text}")


@pytest.fixture(scope="session")
def note(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Write down what was measured: `note("F1", "lost after 15.4 s")`."""
    notes = request.config.stash[NOTES]
    return lambda name, text: notes.append((name, text))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's folder; PostgreSQL, which is not root, must be able to walk through it."""
    path = tmp_path_factory.mktemp("faults")
    for parent in (path, *path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o711)
    return path


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A laptop without the servers that are broken here passes these tests over; where CI is set, that fails."""
    try:
        binaries()
        Redis(tmp_path_factory.mktemp("probe")).command()
    except FileNotFoundError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def cluster(installed: None, folder: Path) -> Iterator[Cluster]:
    with Cluster(folder / "cluster") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _house(cluster: Cluster, folder: Path) -> Iterator[System]:
    redis = Redis(folder / "house" / "redis")
    redis.start()
    try:
        with System(folder / "house", cluster.database(), redis) as system:
            system.start()
            yield system
    finally:
        redis.stop()


@pytest.fixture
def house(_house: System, request: pytest.FixtureRequest) -> Iterator[System]:
    """The usual system: an API, two workers, two schedulers, all alive. Shows its logs where a test fails."""
    _house.replenish()
    failed = request.session.testsfailed
    yield _house
    if request.session.testsfailed > failed or getattr(request.node, "rep_failed", False):
        _house.show()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.when == "call" and report.failed:  # type: ignore[attr-defined]
        item.rep_failed = True  # type: ignore[attr-defined]
    return report
