"""Databases: one request, read from an input, that each provider carries out in its own language."""
