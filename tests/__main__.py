"""`python -m tests [unit] [integration] [conformance] [acceptance]`: the tests, tier by tier; without a name, all.

The unit tests run in two halves, side by side. What touches the database runs twice: on SQLite, and on
a PostgreSQL cluster that is made for the run and thrown away; the two at the same time. Redis is an own one too, so that nothing depends on
what the machine happens to run. Without PostgreSQL's programs its part is passed over, with a
sentence; where CI is set that is a failure.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.local import FAST_POSTGRES, ROOT, postgres_server, redis_server

TIERS = ("unit", "integration", "conformance", "acceptance")
# Of remote systems, and as long as all the rest of them: where there are two lanes, they balance the two.
PROVIDERS = ("tests/integration/test_provider_conformance.py", "tests/integration/test_secrets_nowhere.py")
NO_TESTS = 5  # pytest's exit code where it found none
TAIL_LINES = 400  # of a failed part's output


@dataclass(frozen=True, kw_only=True)
class Part:
    """One run of pytest."""

    name: str
    paths: Sequence[str]
    options: Sequence[str] = ()
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What became of a part."""

    name: str
    code: int
    seconds: float
    last_line: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests")
    parser.add_argument("tier", nargs="*", choices=[[], *TIERS], default=[], metavar=" | ".join(TIERS))
    wanted = parser.parse_args().tier or TIERS
    ended: list[Ended] = []
    with tempfile.TemporaryDirectory(prefix="ductape-tests-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)  # root's PostgreSQL runs as another user, and has to get to its own folder
        base = {"DATA_DIR": str(folder / "data"), "REDIS_URL": "", "DATABASE_URL": ""}
        if "unit" in wanted:
            ended += _side_by_side(*([half] for half in _unit(base)))
        databases = [tier for tier in ("integration", "conformance") if tier in wanted]
        if databases:
            base["REDIS_URL"] = stack.enter_context(redis_server(_made(folder / "redis")))
            with _postgres(_made(folder / "postgres")) as address:
                ended += _side_by_side(
                    _on_sqlite(databases, base, address), _on_postgres(databases, base, address, folder)
                )
                if address is None:
                    ended.append(_missing_postgres())
        if "acceptance" in wanted:
            # Servers of their own, each test: it stops them, kills them, starts them again.
            base.update({"REDIS_URL": "", "DATA_DIR": str(folder / "acceptance")})
            ended.append(_run(Part(name="acceptance", paths=["tests/acceptance"], env=base)))
    return _report(ended)


def _unit(base: dict[str, str]) -> list[Part]:
    """In two halves, every other file: they are pure, and have two cores to themselves."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "unit").glob("test_*.py"))
    return [
        Part(name=f"unit, {half}", paths=files[place::2], env=base)
        for place, half in enumerate(("first half", "second half"))
    ]


def _on_sqlite(tiers: Sequence[str], base: dict[str, str], address: str | None) -> list[Part]:
    elsewhere = [f"--ignore={path}" for path in PROVIDERS] if address is not None else []
    return [
        Part(
            name=f"{tier}, SQLite",
            paths=[f"tests/{tier}"],
            options=elsewhere if tier == "integration" else [],
            env=base,
        )
        for tier in tiers
    ]


def _on_postgres(tiers: Sequence[str], base: dict[str, str], address: str | None, folder: Path) -> list[Part]:
    if address is None:
        return []
    redis_url = base["REDIS_URL"].removesuffix("/0") + "/1"  # the two lanes must not wake each other
    env = {**base, "DATA_DIR": str(folder / "data-pg"), "DATABASE_URL": f"{address}/ductape", "REDIS_URL": redis_url}
    # Of the integration tests only those that use the database, and not those of remote systems, which two lanes
    # at once would share: the others would be the same again.
    parts = [
        Part(
            name=f"{tier}, PostgreSQL",
            paths=[f"tests/{tier}"],
            options=["-m", "django_db and not remote"] if tier == "integration" else [],
            env=env,
        )
        for tier in tiers
    ]
    if "integration" in tiers:
        parts.insert(1, Part(name="integration, providers", paths=PROVIDERS, env=env))
    return parts


@contextmanager
def _postgres(folder: Path) -> Iterator[str | None]:
    """The address of a throw-away cluster, or None where PostgreSQL is not installed."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(postgres_server(folder, FAST_POSTGRES))
        except FileNotFoundError:
            address = None
        yield address


def _missing_postgres() -> Ended:
    name = "on PostgreSQL"
    if os.environ.get("CI"):
        return Ended(name=name, code=1, seconds=0, last_line="PostgreSQL's server programs are missing, and CI is set")
    text = "passed over: PostgreSQL's server programs are not on this machine (Debian: apt-get install postgresql)"
    return Ended(name=name, code=0, seconds=0, last_line=text)


def _side_by_side(*lanes: list[Part]) -> list[Ended]:
    """The lanes at the same time, the parts of each in order."""
    with ThreadPoolExecutor(len(lanes)) as pool:
        return [ended for lane in pool.map(_in_order, lanes) for ended in lane]


def _in_order(parts: list[Part]) -> list[Ended]:
    return [_run(part) for part in parts]


def _run(part: Part) -> Ended:
    _say(f"--- {part.name} …")
    Path(part.env["DATA_DIR"]).mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--durations=5",
        *part.options,
        *part.paths,
    ]
    answer = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **part.env}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines = answer.stdout.rstrip().splitlines() or ["pytest said nothing"]
    if answer.returncode:
        _say("\n".join([f"--- {part.name}: failed", *lines[-TAIL_LINES:]]))
    if answer.returncode == NO_TESTS:
        lines.append("no tests were found")
    return Ended(name=part.name, code=answer.returncode, seconds=time.monotonic() - began, last_line=lines[-1])


def _report(ended: list[Ended]) -> int:
    failed = any(part.code for part in ended)
    _say("")
    for part in ended:
        _say(f"{'FAILED' if part.code else 'ok':6}  {part.name:24} {part.seconds:6.0f} s   {part.last_line}")
    _say(f"{'FAILED' if failed else 'ok':6}  {'all of it':24} {sum(part.seconds for part in ended):6.0f} s of work")
    return 1 if failed else 0


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
