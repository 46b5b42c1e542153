"""Webhooks in the admin: endpoints, what became of each delivery. Whatever is changed goes through the operations."""

from webhooks.admin import deliveries, endpoints, notices

__all__ = ["deliveries", "endpoints", "notices"]
