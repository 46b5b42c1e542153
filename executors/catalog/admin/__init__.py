"""The catalog in the admin: one noun a file, each with its form and its pages.

Forms write through `executors.catalog.editing`, as the API does. What is sealed is never shown.
"""

from executors.catalog.admin import caches, components, connections, events, places, secrets, sessions

__all__ = ["caches", "components", "connections", "events", "places", "secrets", "sessions"]
