"""Four reminders, a week apart, and no fifth."""

import os

from ductape import Ductape

WEEK = 7 * 24 * 60 * 60 * 1000  # ms

with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"], product="my-app", env="prd") as ductape:
    reminders = ductape.notifications.dispatch(
        notification="user-notifications",
        event="send_reminder",
        input={"email": {"recipients": ["user@example.com"]}},
        schedule={"every": WEEK, "limit": 4},
        retries=2,
    )
    first = reminders.wait(timeout=30)  # the first is sent at once
    print(f"{first.execution_count} of {first.limit} sent, the next at {first.next_run_at}")

    answered = first.cancel(reason="the user has answered")
    print(answered.status)
