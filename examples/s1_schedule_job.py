"""The page "Scheduling Jobs" of the processor: an event is scheduled by its tag. A `start_at` that is past means now.

The echo receiver of `make up` is no push service: there the run fails and says so. With a catalog that has credentials
of Expo or Firebase the message is sent.
"""

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
    job = scheduled.wait(timeout=30)
    print(job.id, job.status, job.last_error or job.result)
