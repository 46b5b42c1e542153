# Written by clients/python/generate.py from ductape/_async/schedules.py: change that one.
"""`ductape.schedules`: what a schedule means, before it exists."""

from __future__ import annotations

from typing import Any

from ductape import options
from ductape._sync.resource import Resource
from ductape.arguments import Time, given, mapping, moment, whole
from ductape.call import Call
from ductape.errors import InvalidArgument
from ductape.options import Schedule
from ductape.reading import read
from ductape.results.service import Preview


class Schedules(Resource):
    def preview(
        self,
        schedule: Schedule | str,
        *,
        tz: str | None = None,
        count: int | None = None,
        from_: Time | None = None,
    ) -> Preview:
        """When it would run next (`count` up to 100, usually 10), after now or `from_`. A text is a cron, in `tz`."""
        asked: Any = {"cron": schedule} if isinstance(schedule, str) else schedule
        if tz is not None:
            asked = {**mapping("schedule", asked), "tz": tz}
        body = given(
            {"schedule": options.schedule, "count": whole(1, 100), "from_": moment},
            {"schedule": asked, "count": count, "from_": from_},
        )
        if not body.get("schedule"):
            raise InvalidArgument("schedule", "must say something, such as {'cron': '0 9 * * *'}")
        if "from_" in body:
            body["from"] = body.pop("from_")
        return self._transport.send(
            Call(
                method="POST",
                path="/v1/schedules/preview",
                body=body,
                repeatable=True,
                read=lambda answer: read(Preview, answer.json()),
            )
        )
