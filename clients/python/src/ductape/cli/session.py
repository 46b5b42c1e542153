"""One command's run: its settings, the client it asks, and where its answers go."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ductape import Ductape
from ductape.cli.settings import Settings
from ductape.errors import InvalidArgument

_PIPED_WIDTH = 200  # columns where there is no terminal to fit


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """As anywhere else: not rich's own way to end the process."""
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """Colours and the width of the terminal, if it is one; NO_COLOR and COLUMNS are heeded."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _PIPED_WIDTH
    return _Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


class Session:
    """A context: leaving it closes the connections, if any were made."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self.settings = settings
        self.as_json = as_json
        self.out = console()
        self.err = console(stderr=True)
        self._client: Ductape | None = None

    @property
    def client(self) -> Ductape:
        """Made when it is first asked for. Raises InvalidArgument where there is no key."""
        if self._client is None:
            usual = self.settings
            self._client = Ductape(
                str(usual.value("url")),
                usual.api_key,
                product=usual.value("product"),
                env=usual.value("env"),
                timeout=usual.timeout,
                total_timeout=usual.timeout * 2,
            )
        return self._client

    def product(self, given: str | None) -> str:
        """The product that a command is about. Raises InvalidArgument."""
        tag = given or self.settings.value("product")
        if tag is None:
            raise InvalidArgument("--product", "is needed: give it, export DUCTAPE_PRODUCT, or name it in the profile")
        return tag

    @property
    def interactive(self) -> bool:
        """Whether somebody is there to be asked."""
        return sys.stdin.isatty()

    @property
    def live(self) -> bool:
        """Whether what was printed can be printed over."""
        return self.out.is_terminal and not self.as_json

    def show(self, data: Any, shown: Callable[[], RenderableType | list[Any]]) -> None:
        """The answer: as JSON, one document, or as `shown` makes it for a person."""
        if self.as_json:
            self.line(data)
            return
        made = shown()
        for each in made if isinstance(made, list) else [made]:
            self.out.print(each)

    def line(self, data: Any) -> None:
        """One JSON document on one line, handed on at once."""
        typer.echo(json.dumps(data, ensure_ascii=False))  # which flushes

    def say(self, text: str) -> None:
        """A remark beside the answer: on standard error, not where an answer is read by a program."""
        if not self.as_json:
            self.err.print(text)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only with a yes. Raises InvalidArgument where nobody can be asked, typer.Exit(1) after a no."""
        if yes:
            return
        if not self.interactive:
            raise InvalidArgument("--yes", f"is needed where nobody can be asked: {question}")
        self.err.print(f"{question} [y/N] ", end="")  # not typer's, which writes a blank to standard output
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            self.err.print("nothing was changed")
            raise typer.Exit(1)

    def progress(self) -> Progress:
        """Bars on standard error; none where it is no terminal."""
        return Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self.err, transient=True, disable=not self.err.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
