"""Tells the outside what became of a job: endpoints, messages, deliveries, signatures."""

QUEUE = "webhooks"  # a worker that serves it delivers
