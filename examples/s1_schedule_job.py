"""The page "Scheduling Jobs" of the processor: an event is scheduled by its tag. A `start_at` that is past means now."""

import os

from ductape import Ductape

with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"]) as ductape:
    scheduled = ductape.processor.job.schedule(
        env="prd",
        product_tag="my-app",
        event="send_notification",
        input={
            "slug": "order_update",
            "push_notification": {
                "title": {"en": "Order Shipped"},
                "body": {"en": "Your order #12345 has been shipped!"},
                "data": {"trackingId": "XYZ987"},
                "device_token": "abcdef123456",
            },
        },
        start_at=198_766_789,
    )
    print(scheduled.job_id, scheduled.status)
