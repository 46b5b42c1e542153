"""The page "Scheduling Jobs": its ten samples, one dispatch each. Dates that are past are moved forward."""

import os
import time
from datetime import UTC, datetime, timedelta

from ductape import Ductape

NOW = int(time.time() * 1000)  # ms
HOUR, DAY, WEEK = 3_600_000, 86_400_000, 604_800_000
NEXT_YEAR = datetime.now(UTC).year + 1


with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"], product="my-app", env="prd") as ductape:
    # In one hour
    welcome = ductape.actions.dispatch(
        app="email-service",
        event="send_welcome_email",
        input={"body": {"userId": "user_123", "email": "john@example.com"}},
        retries=3,
        schedule={"start_at": NOW + HOUR},
    )

    # Now
    payment = ductape.actions.dispatch(
        app="payment-service",
        event="process_payment",
        input={"body": {"orderId": "order_456", "amount": 99.99}},
        retries=3,
    )

    # At a time
    campaign = ductape.actions.dispatch(
        app="campaign-service",
        event="send_campaign",
        input={"body": {"campaignId": "camp_123", "audience": "active_users"}},
        retries=2,
        schedule={"start_at": datetime.now(UTC) + timedelta(days=30)},
    )

    # Every day at 9
    report = ductape.features.dispatch(
        tag="generate_daily_report",
        input={},
        retries=2,
        schedule={"cron": "0 9 * * *", "tz": "America/New_York"},
    )

    # Every 24 hours
    inventory = ductape.databases.action.dispatch(
        database="inventory-db",
        event="sync_inventory",
        input={"query": {}, "data": {}},
        retries=3,
        schedule={"every": DAY},
    )

    # Weekly, four times
    reminder = ductape.notifications.dispatch(
        notification="user-notifications",
        event="send_reminder",
        input={"email": {"recipients": ["user@example.com"]}},
        retries=2,
        schedule={"every": WEEK, "limit": 4},
    )

    # Until the year's end
    promo = ductape.events.dispatch(
        broker="kafka-broker",
        event="check_promo_status",
        input={"message": {"check": True}},
        retries=1,
        schedule={"every": DAY, "endDate": f"{NEXT_YEAR}-12-31T23:59:59Z"},
    )

    user = {"user": {"id": "user_123", "email": "john@example.com"}}
    session = ductape.product("my-app").sessions.start("user-session", env="prd", data=user)
    # For a session
    digest = ductape.notifications.dispatch(
        notification="digest-notifications",
        event="send_digest",
        input={"email": {"recipients": ["$Session{user}{email}"], "subject": {"userId": "$Session{user}{id}"}}},
        retries=3,
        session={"tag": "user-session", "token": session.token},
    )

    # Daily at 3
    log_cleanup = ductape.databases.dispatch(
        database="logs-db",
        operation="deleteMany",
        input={"filter": {"createdAt": {"$lt": '$DateAdd($Now(), -30, "days")'}}},
        schedule={"cron": "0 3 * * *"},
    )

    # Daily at 4
    graph_cleanup = ductape.graphs.dispatch(
        graph="session-graph",
        operation="deleteNodes",
        input={"filter": {"expired": True}},
        schedule={"cron": "0 4 * * *"},
    )

    jobs = [welcome, payment, campaign, report, inventory, reminder, promo, digest, log_cleanup, graph_cleanup]
    for job in jobs:
        print(job.job_id, f"{job.status:9}", "recurring:", job.recurring, "next:", job.next_run_at)

    # What runs now is waited for; what would go on is ended, since this is an example.
    for job in jobs:
        if job.status == "queued" and not job.recurring:
            print(job.job_id, job.wait(timeout=30).status)
        else:
            job.cancel(reason="the example is over")
