"""The examples of the documents (S3, S4) as the description of the API shows them. Data only.

As they are written there, but for times that are past, which lie in the year 2100, and those that are counted from now.
"""

from __future__ import annotations

from typing import Any

LATER = 4_102_444_800_000  # 2100-01-01T00:00:00Z, in place of the page's `Date.now() + …` and of 2025
LAST_DAY = "2100-12-31T23:59:59Z"  # in place of 2025-12-31
TODAY = 1_893_456_000_000  # 2030-01-01T00:00:00Z, in place of `new Date().setHours(0, 0, 0, 0)`
LONG_AGO = 1_577_836_800_000  # 2020-01-01T00:00:00Z, in place of `Date.now() - …`
TOKEN = "eyJhbGciOiJIUzI1NiIs..."  # noqa: S105 - as the page cuts it off

# namespace → bodies of its dispatch (S3)
DISPATCH: dict[str, list[dict[str, Any]]] = {
    "actions": [
        {
            "env": "prd", "product": "my-app", "app": "email-service", "event": "send_welcome_email",
            "input": {"body": {"userId": "user_123", "email": "john@example.com"}}, "retries": 3,
            "schedule": {"start_at": LATER},
        },
        {
            "env": "prd", "product": "billing", "app": "payment-service", "event": "process_payment",
            "input": {"body": {"orderId": "order_456", "amount": 99.99}}, "retries": 3,
        },
        {
            "env": "prd", "product": "marketing", "app": "campaign-service", "event": "send_campaign",
            "input": {"body": {"campaignId": "camp_123", "audience": "active_users"}}, "retries": 2,
            "schedule": {"start_at": LATER},
        },
    ],
    "features": [
        {
            "env": "prd", "product": "reports", "tag": "generate_daily_report", "input": {}, "retries": 2,
            "schedule": {"cron": "0 9 * * *", "tz": "America/New_York"},
        },
    ],
    "databases.action": [
        {
            "env": "prd", "product": "sync", "database": "inventory-db", "event": "sync_inventory",
            "input": {"query": {}, "data": {}}, "retries": 3, "schedule": {"every": 86_400_000},
        },
    ],
    "notifications": [
        {
            "env": "prd", "product": "reminders", "notification": "user-notifications", "event": "send_reminder",
            "input": {"email": {"recipients": ["user@example.com"]}}, "retries": 2,
            "schedule": {"every": 604_800_000, "limit": 4},
        },
        {
            "env": "prd", "product": "notifications", "notification": "digest-notifications", "event": "send_digest",
            "input": {"email": {"recipients": ["$Session{user}{email}"], "subject": {"userId": "$Session{user}{id}"}}},
            "retries": 3, "session": {"tag": "user-session", "token": TOKEN},
        },
    ],
    "events": [
        {
            "env": "prd", "product": "promo", "broker": "kafka-broker", "event": "check_promo_status",
            "input": {"message": {"check": True}}, "retries": 1, "schedule": {"every": 86_400_000, "endDate": LAST_DAY},
        },
    ],
    "databases": [
        {
            "env": "prd", "product": "my-app", "database": "logs-db", "operation": "deleteMany",
            "input": {"filter": {"createdAt": {"$lt": '$DateAdd($Now(), -30, "days")'}}},
            "schedule": {"cron": "0 3 * * *"},
        },
    ],
    "graphs": [
        {
            "env": "prd", "product": "my-app", "graph": "session-graph", "operation": "deleteNodes",
            "input": {"filter": {"expired": True}}, "schedule": {"cron": "0 4 * * *"},
        },
    ],
}  # fmt: skip

# verb → bodies of what is asked of many jobs (S4)
MANY: dict[str, list[dict[str, Any]]] = {
    "cancel": [{"product": "my-app", "status": "scheduled"}],
    "pause": [{"product": "my-app", "recurring": True}, {"product": "my-app"}],
    "resume": [{"product": "my-app", "status": "paused"}],
    "retry": [{"status": "failed", "from": TODAY}],
    "delete": [
        {"status": "completed", "to": LONG_AGO},
        {"status": ["completed", "cancelled", "failed"], "to": LONG_AGO},
    ],
}

# verb → bodies of what is asked of a job (S4)
VERBS: dict[str, list[dict[str, Any]]] = {
    "cancel": [{"reason": "Campaign ended early"}],
    "pause": [{}],
    "resume": [{}],
    "reschedule": [{"start_at": LATER}, {"cron": "0 10 * * *", "tz": "America/New_York"}, {"every": 7_200_000}],
    "retry": [{}, {"delay": 60_000}],
}
