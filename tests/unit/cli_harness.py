"""`ductape-jobs` in this process, before a server of the test's own making."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from ductape._sync import transport
from ductape.cli.app import app
from ductape.cli.session import Session
from ductape.interception import intercepted

Handler = Callable[[httpx.Request], httpx.Response]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that was printed."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Terminal:
    """Commands are run with a key and an empty home. `requests` are all that was asked, `bodies` what they said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        for name in ("URL", "API_KEY_FILE", "PRODUCT", "ENV", "TIMEOUT", "PROFILE", "CONFIG"):
            monkeypatch.delenv(f"DUCTAPE_{name}", raising=False)
        monkeypatch.setenv("DUCTAPE_API_KEY", "the-key")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
        monkeypatch.setenv("TZ", "UTC")
        monkeypatch.setattr(transport, "sleep", lambda seconds: None)
        self._monkeypatch = monkeypatch
        self.home = home
        self.requests: list[httpx.Request] = []
        self.answer: Handler = lambda request: httpx.Response(200, json={})

    def answers(self, *bodies: Any, status: int = 200) -> None:
        """Each once, the last one again and again."""
        left = list(bodies)
        self.answer = lambda request: httpx.Response(status, json=left.pop(0) if len(left) > 1 else left[0])

    def run(self, *arguments: str, input: str | None = None) -> Ended:
        def seen(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return self.answer(request)

        with intercepted(seen):
            result = CliRunner().invoke(app, list(arguments), input=input, prog_name="ductape-jobs")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    def somebody_is_there(self) -> None:
        self._monkeypatch.setattr(Session, "interactive", property(lambda self: True))

    def columns(self, number: int) -> None:
        self._monkeypatch.setenv("COLUMNS", str(number))

    @property
    def asked(self) -> list[str]:
        """Method and target of each request."""
        return [f"{each.method} {each.url.raw_path.decode()}" for each in self.requests]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(each.content) if each.content else None for each in self.requests]
