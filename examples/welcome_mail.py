"""A welcome mail, one hour after somebody has signed up; and none to who has left before."""

import os
from datetime import UTC, datetime, timedelta

from ductape import Ductape

with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"], product="my-app", env="prd") as ductape:
    mail = ductape.actions.dispatch(
        app="email-service",
        event="send_welcome_email",
        input={"body": {"userId": "user_123", "email": "john@example.com"}},
        schedule={"start_at": datetime.now(UTC) + timedelta(hours=1)},
        retries=3,
        unique_key="welcome:user_123",  # who signs up twice is welcomed once
    )
    print(mail.job_id, mail.status, "for", mail.scheduled_at.isoformat(timespec="minutes"))

    left = mail.cancel(reason="the account was closed")
    print(left.status, "because", left.cancel_reason)
