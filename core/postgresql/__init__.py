"""Django's own PostgreSQL backend, as `ENGINE`, with a cheaper look at a kept connection."""
