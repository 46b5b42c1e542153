"""The story of `manage.py up`, from start to Ctrl-C.

The processes start before the database is migrated: they wait for that by themselves, and the
time it takes to load them is not lost.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, NoReturn

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import Error as DatabaseError
from django.db import connection

from core.tenancy.models import Product
from ductape_jobs.up import broker, demo
from ductape_jobs.up.children import Child, GivesUp
from ductape_jobs.up.console import Console

if TYPE_CHECKING:
    from ductape_jobs.up.echo import Echo

ADMIN = "admin"
LOOK_SECONDS = 0.2  # between two looks at the children
# How long each gets to end by itself, in the order in which they are stopped. A worker finishes
# what it runs, or hands it back, within 25 s.
STOP_SECONDS = {"api": 10.0, "scheduler": 10.0, "worker": 30.0, "broker": 5.0}


class CannotStart(Exception):
    """What is in the way, and the way out."""


class Supervisor:
    """Runs everything; `run` returns the exit code."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._children: list[Child] = []
        self._echo: Echo | None = None
        self._lock: IO[str] | None = None
        self._url = f"http://127.0.0.1:{settings.PORT}"

    def run(self) -> int:
        # SIGINT too: a shell without job control starts what is in the background with it ignored.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        try:
            self._start()
            while True:
                self._watch()
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            return 0
        except (CannotStart, GivesUp, broker.NoBroker, demo.DemoFailed) as error:
            self._console.problem(str(error))
            return 1
        finally:
            self._stop()

    # --- the start --------------------------------------------------------------------------

    def _start(self) -> None:
        self._check_place()
        self._check_database()
        self._start_broker()
        for name in ("api", "worker", "scheduler"):
            self._start_child(name, (sys.executable, "manage.py", name))
        echo_url = self._start_echo()
        fresh, password = self._prepare_database()
        api = demo.Api(self._url, settings.OPERATOR_API_KEY)
        api.wait(still=self._watch)
        api.load_demo(echo_url)
        if fresh:
            self._show(api.run_first_job())
        self._tell(fresh=fresh, password=password)

    def _check_place(self) -> None:
        if not settings.LOCAL:
            raise CannotStart(
                "'up' is for one machine and for trying: in production run 'manage.py migrate', and 'manage.py "
                "api', 'worker' and 'scheduler' as services (docker-compose.yml shows how)"
            )
        folder: Path = settings.DATA_DIR
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (folder / "up.lock").open("w")
        except OSError as error:
            raise CannotStart(
                f"DATA_DIR is {folder}, where nothing can be kept ({error.strerror}): name another folder"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"it is running already with its data in {folder}: stop that one, or use another folder (DATA_DIR=)"
            ) from None
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server itself will
            try:
                probe.bind((settings.HOST, settings.PORT))
            except OSError as error:
                raise CannotStart(
                    f"port {settings.PORT} cannot be had ({error.strerror}): another program has it. "
                    f"Take another one: PORT={settings.PORT + 10} make up"
                ) from None

    def _check_database(self) -> None:
        try:
            connection.ensure_connection()
        except DatabaseError as error:
            raise CannotStart(
                f"the database does not answer: {str(error).strip()}\n"
                "Start it, or leave DATABASE_URL out and an embedded one is used"
            ) from None

    def _start_broker(self) -> None:
        given = settings.REDIS_URL if settings.REDIS_GIVEN else ""
        folder = settings.DATA_DIR / "broker"
        chosen = broker.choose(folder, given=given)
        self._console.say(f"broker    {chosen.how}")
        self._console.say(f"database  {_database_in_words()}")
        os.environ["REDIS_URL"] = chosen.url  # the children's
        if chosen.command is not None:
            self._start_child("broker", chosen.command)
            broker.wait_for(chosen, folder)

    def _start_echo(self) -> str:
        from ductape_jobs.up.echo import Echo  # its HTTP server takes a while to load: the children load meanwhile

        self._echo = Echo(self._console, settings.PORT + 1)
        self._echo.start()
        return self._echo.url

    def _start_child(self, name: str, command: tuple[str, ...]) -> None:
        env = {**os.environ, "PYTHONUNBUFFERED": "1", "DATA_DIR": str(settings.DATA_DIR)}
        child = Child(name, command, env, self._console)
        self._children.append(child)
        child.start()

    def _prepare_database(self) -> tuple[bool, str]:
        """Migrate; make the admin user. Whether this is the first start, and the new user's password, else ''."""
        call_command("migrate", verbosity=0, interactive=False)
        fresh = not Product.objects.filter(tag=demo.PRODUCT).exists()
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            return fresh, ""
        password = secrets.token_urlsafe(12)
        _keep(settings.DATA_DIR / "admin_password", password)
        users.create_superuser(username=ADMIN, email="", password=password)
        return fresh, password

    # --- what it says -----------------------------------------------------------------------

    def _show(self, job: dict[str, Any]) -> None:
        self._console.say()
        self._console.title("The first job was dispatched through the API; this is what became of it:")
        shown = {name: job.get(name) for name in ("id", "status", "target", "input", "result", "last_error")}
        for line in json.dumps({name: value for name, value in shown.items() if value}, indent=2).splitlines():
            self._console.say(f"  {line}")

    def _tell(self, *, fresh: bool, password: str) -> None:
        say, folder = self._console.say, settings.DATA_DIR
        key, kept = settings.OPERATOR_API_KEY, folder / "operator_api_key"
        key_file = f"$(cat '{kept}')" if kept.exists() and kept.read_text().strip() == key else "$OPERATOR_API_KEY"
        say()
        self._console.title("Ductape Jobs is running.")
        say(f"  API docs  {self._url}/v1/docs")
        if password:
            say(f"  admin     {self._url}/admin/  user {ADMIN}, password {password}  (kept in {folder}/admin_password)")
        else:
            say(f"  admin     {self._url}/admin/  user {ADMIN}, password in {folder}/admin_password")
        if fresh:
            say(f"  API key   {key}  (kept in {kept}; shown only now)")
        say()
        self._console.title("Dispatch a job from another terminal:")
        say(f"  {demo.curl_line(self._url, key if fresh else key_file)}")
        say()
        say("Ctrl-C stops everything; the data stays.")
        say()

    # --- while it runs, and the end ---------------------------------------------------------

    def _watch(self) -> None:
        for child in self._children:
            child.watch()

    def _stop(self) -> None:
        """Stop the children in order: who brings work first, who does it then, what they stand on last."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._kill_all)
        running = {child.name: child for child in self._children}
        if running:
            self._console.say()
            self._console.say("stopping (Ctrl-C again: at once, without waiting for running jobs)")
        for names in (("api", "scheduler"), ("worker",), ("broker",)):
            for child in (running[name] for name in names if name in running):
                child.ask_to_stop()
            for child in (running[name] for name in names if name in running):
                if not child.wait(STOP_SECONDS[child.name]):
                    self._console.problem(f"the {child.name} did not end in time and was killed")
        if self._echo is not None:
            self._echo.stop()
        if running:
            self._console.say("stopped")

    def _kill_all(self, number: int, frame: FrameType | None) -> None:
        for child in self._children:
            child.kill()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _database_in_words() -> str:
    config = settings.DATABASES["default"]
    if "sqlite" in config["ENGINE"]:
        return f"SQLite, {config['NAME']} (for one machine; PostgreSQL with DATABASE_URL)"
    return f"{config['NAME']} on {config['HOST']}:{config['PORT'] or 5432} (DATABASE_URL)"


def _keep(path: Path, text: str) -> None:
    """Write a secret into a file that only its owner reads."""
    path.unlink(missing_ok=True)
    with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text + "\n")
