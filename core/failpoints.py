"""Named places where a test may stop, kill or observe a process: nothing in production.

`reach("promote:inserted")` does nothing unless a test registered something there, or the
process was started with FAILPOINT="promote:inserted=kill" (local only; `kill` is SIGKILL of
itself, `kill@3` at the third time, `sleep:500` waits that many milliseconds).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

_actions: dict[str, Callable[[], None]] = {}
_counts: dict[str, int] = {}


def reach(name: str) -> None:
    """Mark that the code is at this point; runs what a test asked for there."""
    if _actions:
        action = _actions.get(name)
        if action is not None:
            action()


def register(name: str, action: Callable[[], None]) -> None:
    """Run `action` whenever the point is reached, until `clear`."""
    _actions[name] = action


def clear() -> None:
    _actions.clear()
    _counts.clear()


def _from_text(name: str, text: str) -> Callable[[], None]:
    verb, _, rest = text.partition("@")
    at = int(rest) if rest else 1
    if verb == "kill":

        def kill() -> None:
            _counts[name] = _counts.get(name, 0) + 1
            if _counts[name] == at:
                os.kill(os.getpid(), signal.SIGKILL)

        return kill
    if verb.startswith("sleep:"):
        seconds = int(verb.removeprefix("sleep:")) / 1000
        return lambda: time.sleep(seconds)
    raise ValueError(f"FAILPOINT {name}={text!r}: know kill, kill@N and sleep:MS")


def load_from_environment() -> None:
    """Register what FAILPOINT asks for (`name=action`, comma separated). Never in production."""
    if os.environ.get("ENVIRONMENT") == "production":
        return
    for item in filter(None, os.environ.get("FAILPOINT", "").split(",")):
        name, _, text = item.partition("=")
        register(name, _from_text(name, text))


load_from_environment()
