"""docs/cli.md says what is: commands, exit codes, variables; and how the process ends in a shell."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from ductape.cli.app import app
from ductape.cli.exits import Exit
from ductape.cli.settings import ENVIRONMENT
from tests.documented import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text()
SOURCES = ROOT / "clients" / "python" / "src"
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| ")]


def commands(command: Any, *before: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, *before, name)
        else:
            yield (*before, name), each


ALL = dict(commands(typer.main.get_command(app)))


def test_the_page_lists_the_commands_that_exist_and_no_other() -> None:
    told = {
        tuple(word for word in text.split() if word.islower() and not word.startswith("-"))
        for row in ROWS
        for text in re.findall(r"`([a-z-]+[^`]*)`", row[0])
        if row[0].startswith("`") and not text.startswith("DUCTAPE")
    }
    assert told == set(ALL)


def test_each_command_says_what_it_is_and_answers_as_json() -> None:
    for names, command in ALL.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--json", "--url", "--profile", "--timeout", "--key-file"} <= options, names
        assert command.help, names


def test_the_page_has_the_exit_codes() -> None:
    told = {int(row[0]): row[1].strip("`") for row in ROWS if row[0].isdigit()}
    assert told == {each.value: each.name for each in Exit}


def test_the_page_has_the_variables_and_the_keys_of_a_profile() -> None:
    rows = [row for row in ROWS if row[0].startswith("`DUCTAPE_")]
    told = {row[2].strip("`"): row[0].strip("`") for row in rows if row[2]}
    assert told == dict(ENVIRONMENT)
    assert {row[0].strip("`") for row in rows} - set(told.values()) == {"DUCTAPE_PROFILE", "DUCTAPE_CONFIG"}


def test_the_profile_of_the_page_is_one() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    for profile in tomllib.loads(block)["profiles"].values():
        assert set(profile) <= set(ENVIRONMENT)


def started(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ, "PYTHONPATH": str(SOURCES), "DUCTAPE_API_KEY": "k", "XDG_CONFIG_HOME": str(tmp_path), **variables,
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "ductape.cli.main", *arguments], env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_ctrl_c_ends_with_130_and_no_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        with started(tmp_path, "tail", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}") as process:
            connection, _ = silent.accept()  # it listens to a server that says nothing
            with connection:
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, b"")
    assert err == b"listening; Ctrl-C ends it\n"


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_pipe_that_is_closed_ends_it_quietly(tmp_path: Path, more: tuple[str, ...]) -> None:
    with started(tmp_path, "config", "show", *more) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(30) == Exit.CLOSED_PIPE


def test_the_version_and_the_words_that_a_shell_completes(tmp_path: Path) -> None:
    with started(tmp_path, "--version") as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert re.fullmatch(rb"ductape-jobs (of a checkout|\d+\.\d+\.\d+)\n", out)
    completed = started(
        tmp_path, _DUCTAPE_JOBS_COMPLETE="complete_bash", COMP_WORDS="ductape-jobs list --status ca", COMP_CWORD="3"
    )
    with completed:
        out, err = completed.communicate(timeout=30)
    assert (out.split(), err) == ([b"cancelled"], b"")
