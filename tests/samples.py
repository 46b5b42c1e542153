"""One component of each kind, as small as it can be: for tests that need something of every kind. Data only.

Nothing listens at their addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A component without its tag, how it is reached (None where its kind has no connections), one of its events."""

    component: dict[str, Any]
    reached: dict[str, Any] | None
    event: dict[str, Any] | None

    def entry(self, tag: str, env: str = "prd", event: str = "one") -> dict[str, Any]:
        """As a catalog document writes it."""
        written: dict[str, Any] = {"tag": tag, **self.component}
        if self.reached is not None:
            written["envs"] = {env: self.reached}
        if self.event is not None:
            written["events"] = [{"tag": event, **self.event}]
        return written


# kind's plural → a component of it
SAMPLES: dict[str, Sample] = {
    "apps": Sample(
        component={}, reached={"base_url": "http://127.0.0.1:9"}, event={"method": "POST", "resource": "/one"},
    ),
    "notifications": Sample(
        component={}, reached={"callbacks": {"url": "http://127.0.0.1:9/hook", "method": "POST"}},
        event={"callback": {"body": {"a": "{{a}}"}}},
    ),
    "databases": Sample(
        component={"type": "sqlite"}, reached={"connection_url": "sqlite:////tmp/of-the-tour.sqlite3"},
        event={"operation": "QUERY", "table": "t", "template": {}},
    ),
    "graphs": Sample(
        component={"type": "embedded"}, reached={"path": "/tmp/of-the-tour-graph"},
        event={"operation": "FIND_NODES", "template": {"labels": ["A"]}},
    ),
    "storage": Sample(
        component={"type": "local"}, reached={"path": "/tmp/of-the-tour"},
        event={"operation": "upload", "template": {"fileName": "{{a}}.txt"}},
    ),
    "brokers": Sample(component={"type": "redis"}, reached={"url": "redis://127.0.0.1:9/0"}, event={"topic": "t"}),
    "functions": Sample(component={"method": "POST"}, reached={"url": "http://127.0.0.1:9/fn"}, event=None),
    "features": Sample(
        component={"steps": [{"tag": "a", "type": "sleep", "duration": 1}]}, reached=None, event=None,
    ),
}  # fmt: skip

# path of a dispatch → what it names of a component of the tag and event given here, and its input
DISPATCHED: dict[str, dict[str, Any]] = {
    "/v1/actions/dispatch": {"app": "{tag}", "event": "{event}", "input": {}},
    "/v1/notifications/dispatch": {
        "notification": "{tag}", "event": "{event}", "input": {"callback": {"body": {"a": 1}}},
    },
    "/v1/databases/dispatch": {"database": "{tag}", "operation": "count", "input": {"table": "t"}},
    "/v1/databases/action/dispatch": {"database": "{tag}", "event": "{event}", "input": {}},
    "/v1/graphs/dispatch": {"graph": "{tag}", "operation": "countNodes", "input": {}},
    "/v1/graphs/action/dispatch": {"graph": "{tag}", "event": "{event}", "input": {}},
    "/v1/storage/dispatch": {"storage": "{tag}", "event": "listFiles", "input": {}},
    "/v1/events/dispatch": {"broker": "{tag}", "event": "{event}", "input": {"message": {"a": 1}}},
    "/v1/functions/dispatch": {"function": "{tag}", "input": {"payload": {}}},
    "/v1/features/dispatch": {"tag": "{tag}", "input": {}},
}  # fmt: skip


def dispatched(path: str, tag: str, event: str = "one") -> dict[str, Any]:
    """The target and the input of a dispatch of a sample."""
    names = DISPATCHED[path]
    return {
        name: value.format(tag=tag, event=event) if isinstance(value, str) else value for name, value in names.items()
    }
