"""docker-compose.yml, without Docker: each service's own command, environment and health check, as local processes.

What stands in for the container's world: the names `postgres` and `redis` become ports of this
machine, `python` this test's Python, `/data` a folder. All else is read from the files.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from cryptography.fernet import Fernet

from tests.acceptance.system import Process
from tests.servers.local import FAST_POSTGRES, ROOT, free_port, postgres_server, wait_until
from tests.servers.receiver import Receiver

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = [name for name, service in SERVICES.items() if "build" in service]
STAY = [name for name in OURS if name != "migrate"]
DOT_ENV = {  # as the README says to make it, and the receiver's network
    "POSTGRES_PASSWORD": secrets.token_hex(24),
    "SECRET_KEY": secrets.token_hex(32),
    "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "OPERATOR_API_KEY": secrets.token_hex(32),
    "ALLOWED_HOSTS": "jobs.example.org",  # health checks ask 127.0.0.1 all the same
    "EGRESS_ALLOW_CIDRS": "127.0.0.0/8",
}
README = (ROOT / "README.md").read_text()
SET_BY_THE_FILE = {"ENVIRONMENT", "DATABASE_URL", "REDIS_URL"}
SET_BY_THE_IMAGE = {"PORT", "HOST", "DATA_DIR"}
HANDED_ON = {"SSL_CERT_FILE"}  # without a default: OpenSSL takes an empty one at its word
HEALTHY_SECONDS = 60.0


def interpolated(text: str) -> str:
    """`${NAME:-default}` and `${NAME:?message}`, as Compose reads them."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match[1], match[2], match[3]
        if kind == ":?":
            assert DOT_ENV.get(name), f"{name}: {rest}"
        return DOT_ENV.get(name) or (rest if kind == ":-" else "")

    return re.sub(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}", value, text)


def given_to(name: str) -> dict[str, str]:
    """The environment that the file gives a service; a variable without a value is handed on if there is one."""
    given = SERVICES[name]["environment"].items()
    handed_on = {key: DOT_ENV[key] for key, value in given if value is None and key in DOT_ENV}
    return {key: interpolated(value) for key, value in given if value is not None} | handed_on


class World:
    """The services' world on this machine."""

    def __init__(self, folder: Path, postgres_port: int) -> None:
        self.folder = folder
        self.postgres_port, self.redis_port, self.api_port = postgres_port, free_port(), free_port()
        self.processes: dict[str, Process] = {}

    def local(self, text: str) -> str:
        text = text.replace("@postgres:5432/", f"@127.0.0.1:{self.postgres_port}/")
        return text.replace("//redis:6379/", f"//127.0.0.1:{self.redis_port}/").replace(":8000/", f":{self.api_port}/")

    def environment(self, name: str) -> dict[str, str]:
        """Nothing of this test's own but what any process needs."""
        image = dict(re.findall(r"\b([A-Z_]+)=(\S+)", re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)[-1]))
        given = {key: self.local(value) for key, value in given_to(name).items()}
        container = {
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(self.folder / "data" / name),
            "HOST": "127.0.0.1",
            "PORT": str(self.api_port),
        }
        return {**image, **given, **container}

    def command(self, words: list[str]) -> list[str]:
        """The same for this machine; `Process` brings the Python."""
        assert words[0] == "python"
        return [self.local(word) for word in words[1:]]

    def start(self, name: str) -> Process:
        log = self.folder / f"{name}.log"
        self.processes[name] = Process(
            name, self.command(SERVICES[name]["command"]), self.environment(name), log
        )  # fmt: skip
        return self.processes[name]

    def healthy(self, name: str) -> bool:
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        env = {**self.environment(name), "PYTHONDONTWRITEBYTECODE": ""}
        return subprocess.run([sys.executable, *self.command(words)], cwd=ROOT, env=env).returncode == 0

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://localhost:{self.api_port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {DOT_ENV['OPERATOR_API_KEY']}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=40) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None


@pytest.fixture(scope="module")
def world(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """PostgreSQL and Redis as their services are configured."""
    folder = tmp_path_factory.mktemp("compose")
    for parent in (folder, *folder.parents[:3]):  # PostgreSQL is not root and must walk through
        parent.chmod(parent.stat().st_mode | 0o711)
    given = {key: interpolated(value) for key, value in SERVICES["postgres"]["environment"].items()}
    with postgres_server(folder, FAST_POSTGRES) as address:
        with psycopg.connect(f"{address}/postgres", autocommit=True) as sql:
            sql.execute(f"CREATE ROLE {given['POSTGRES_USER']} LOGIN PASSWORD '{given['POSTGRES_PASSWORD']}'")
            sql.execute(f"CREATE DATABASE {given['POSTGRES_DB']} OWNER {given['POSTGRES_USER']}")
        world = World(folder, int(address.rpartition(":")[2]))
        program, *options = SERVICES["redis"]["command"]
        binary = shutil.which(program) or shutil.which("valkey-server")
        if binary is None:
            pytest.skip(f"{program} is not on this machine")
        with (folder / "redis.log").open("wb") as output:
            server = subprocess.Popen(
                [binary, *options, "--port", str(world.redis_port), "--bind", "127.0.0.1", "--dir", str(folder)],
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            yield world
        finally:
            for process in world.processes.values():
                process.end()
            server.send_signal(signal.SIGTERM)
            server.wait(20)


def test_the_services_run_a_job_are_healthy_and_stop_in_time(world: World) -> None:
    migrate = world.start("migrate")
    assert migrate.wait(120) == 0, migrate.said()
    for name in STAY:
        world.start(name)
    for name in STAY:
        wait_until(lambda name=name: world.healthy(name), f"{name} is healthy", HEALTHY_SECONDS, every=0.5)  # type: ignore[misc]
    wait_until(lambda: _is_ready(world), "readyz says so", HEALTHY_SECONDS)

    with Receiver() as receiver:
        app = {
            "tag": "till", "name": "Till", "envs": {"prd": {"base_url": receiver.url}},
            "events": [{"tag": "pay", "method": "POST", "resource": "/pay"}],
        }  # fmt: skip
        document = {"product": "shop", "name": "Shop", "envs": [{"slug": "prd", "name": "Production"}], "apps": [app]}
        world.call("PUT", "/v1/products/shop/catalog", document)
        dispatch = {"product": "shop", "env": "prd", "app": "till", "event": "pay", "input": {"body": {"amount": 5}}}
        job_id = world.call("POST", "/v1/actions/dispatch", dispatch)["job_id"]
        job = world.call("GET", f"/v1/jobs/{job_id}?wait=20000")
        assert (job["status"], job["result"]["status"]) == ("completed", 200)
        assert [request.json() for request in receiver.requests] == [{"amount": 5}]

    for name in STAY:
        assert world.processes[name].alive, world.processes[name].said()
        assert '"level": "error"' not in world.processes[name].said()
        json.loads(world.processes[name].said().splitlines()[0])  # production logs JSON
        world.processes[name].terminate()
    for name in STAY:
        seconds = int(SERVICES[name].get("stop_grace_period", "10s").removesuffix("s"))
        assert world.processes[name].wait(seconds) == 0, world.processes[name].said()


@pytest.mark.parametrize("missing", sorted(DOT_ENV.keys() - {"EGRESS_ALLOW_CIDRS", "ALLOWED_HOSTS"}))
def test_without_a_secret_it_does_not_start(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(DOT_ENV, missing)
    with pytest.raises(AssertionError, match=f"{missing}: is in no .env"):
        for name, service in SERVICES.items():
            if "environment" in service:
                given_to(name)


@pytest.mark.parametrize("name", OURS)
def test_the_authorities_of_an_operator_are_handed_on_and_none_are_made_up(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "SSL_CERT_FILE" not in given_to(name)
    monkeypatch.setitem(DOT_ENV, "SSL_CERT_FILE", "/etc/ssl/authorities.pem")
    assert given_to(name)["SSL_CERT_FILE"] == "/etc/ssl/authorities.pem"


def test_each_setting_of_the_readme_is_passed_on_with_its_own_default() -> None:
    given = SERVICES["api"]["environment"]
    assert all(SERVICES[name]["environment"] == given for name in OURS)
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]{4,})`", row)}
    assert documented - given.keys() == set(SET_BY_THE_IMAGE)
    assert {name for name in documented & given.keys() if given[name] is None} == HANDED_ON
    from_dot_env = documented - SET_BY_THE_IMAGE - SET_BY_THE_FILE - HANDED_ON
    assert {name for name in from_dot_env if not re.fullmatch(rf"\${{{name}:[-?].*}}", given[name])} == set()

    defaults = {name: interpolated(given[name]) for name in from_dot_env if ":-" in given[name]}
    assert {*defaults, "SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "OPERATOR_API_KEY"} == from_dot_env
    del defaults["ALLOWED_HOSTS"]  # production has none, and refuses to start
    assert given["ALLOWED_HOSTS"] == "${ALLOWED_HOSTS:-localhost}"
    del defaults["EGRESS_ALLOW_CIDRS"]  # this test's own
    assert settings_with(defaults, of=defaults) == settings_with({}, of=defaults)


def settings_with(variables: dict[str, str], *, of: Iterable[str]) -> dict[str, Any]:
    """What a production environment with those makes of some settings."""
    told = f"import json; from ductape_jobs import settings as s; print(json.dumps([getattr(s, n) for n in {[*of]}]))"
    secrets = {name: DOT_ENV[name] for name in ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "OPERATOR_API_KEY")}
    env = {"PATH": os.environ["PATH"], "ENVIRONMENT": "production", **secrets, **variables}
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return dict(zip(of, json.loads(done.stdout), strict=True))


def test_all_that_the_issue_asks_for_is_there() -> None:
    assert set(SERVICES) == {"postgres", "redis", "migrate", "api", "worker", "scheduler-1", "scheduler-2"}
    assert [name for name, service in SERVICES.items() if "healthcheck" not in service] == ["migrate"]
    assert {port for service in SERVICES.values() for port in service.get("ports", [])} == {"127.0.0.1:8000:8000"}
    for name in STAY:
        assert SERVICES[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "redis": {"condition": "service_started"},
        }
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_the_image_holds_the_project_and_no_secret_and_is_not_root() -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages <= allowed
    assert {"manage.py", "requirements.txt"} <= allowed
    assert not [name for name in allowed if name.startswith(".")]
    instructions = [line.split()[0] for line in DOCKERFILE.splitlines() if re.match(r"[A-Z]+ ", line)]
    assert instructions.count("FROM") == 2
    assert "USER ductape" in DOCKERFILE
    assert instructions.index("USER") > instructions.index("COPY")
    assert "HEALTHCHECK" in instructions
    assert not re.search(r"(KEY|PASSWORD|TOKEN|SECRET)\w*=", DOCKERFILE)


def _is_ready(world: World) -> bool:
    try:
        return bool(world.call("GET", "/readyz")["status"] == "ready")
    except (AssertionError, OSError):
        return False
