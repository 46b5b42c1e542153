"""The JSON form of a log line, for machines that read them; and which libraries never write below INFO."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from core import about

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


# What these write at DEBUG has logins, signed requests and messages in it. SQLAlchemy, which tells values from INFO on,
# is quiet unless it is given a level.
DRIVERS = (
    "amqp", "azure", "boto3", "botocore", "celery", "google", "kombu", "nats", "neo4j", "paho", "pymongo", "redis",
    "s3transfer", "urllib3",
)  # fmt: skip


def driver_levels(level: str) -> dict[str, dict[str, str]]:
    """The loggers of drivers, where everything else writes from `level` on."""
    loud = logging.getLevelNamesMapping()[level] < logging.INFO
    return {name: {"level": "INFO"} for name in DRIVERS} if loud else {}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the ids of the request or the run that it is
    about, and what was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **about.ids(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
