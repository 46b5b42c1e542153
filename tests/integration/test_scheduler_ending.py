"""How a scheduler ends when a signal finds it in the worst moment, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django_celery_beat.schedulers import DatabaseScheduler

from jobs.beat import ALREADY_WAITED, JobScheduler
from tests.servers.local import ROOT

TOLD_IN_A_DESTRUCTOR = """
class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)  # what its handler raised here would be lost

Dying()
beat._end_if_told(within=10)
sys.exit("goes on")
"""

TOLD_AND_DEAF = """
beat.ENDING_SECONDS = 0.2
os.kill(os.getpid(), signal.SIGINT)
time.sleep(20)
sys.exit("goes on")
"""

TOLD_TWICE_WHILE_IT_WAITS = """
def tell():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)

threading.Timer(0.2, tell).start()
beat._end_if_told(within=20)
sys.exit("goes on")
"""


def ended(script: str) -> tuple[int, str]:
    """Exit status and errors of a process that runs `script` with the scheduler's signal handlers."""
    before = """
import os, signal, sys, threading, time
import django
django.setup()
from jobs import beat
beat.JobBeat.install_sync_handler(object.__new__(beat.JobBeat), None)
"""
    process = subprocess.run(
        [sys.executable, "-c", before + script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ductape_jobs.settings"},
    )  # fmt: skip
    return process.returncode, process.stderr


def test_a_signal_in_a_destructor_is_not_lost() -> None:
    assert ended(TOLD_IN_A_DESTRUCTOR) == (0, "")


def test_a_pause_ends_with_the_signal_and_the_second_interrupts_nothing() -> None:
    assert ended(TOLD_TWICE_WHILE_IT_WAITS) == (0, "")


def test_a_scheduler_that_hangs_is_given_up() -> None:
    status, errors = ended(TOLD_AND_DEAF)
    assert status == 1
    assert "not ended 0.2 s after the signal" in errors


@pytest.mark.parametrize("answered", [-0.01, 0.0, 0.002, None])
def test_whatever_beat_answers_of_its_next_task_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, answered: float | None
) -> None:
    """In the last 10 ms before a task is due Celery answers less than nothing; some of its ticks answer None."""
    monkeypatch.setattr(DatabaseScheduler, "tick", lambda self, *args, **kwargs: answered)
    monkeypatch.setattr(JobScheduler, "producer", None)
    scheduler = object.__new__(JobScheduler)

    assert scheduler.tick() == ALREADY_WAITED
