# Written by clients/python/generate.py from ductape/_async/__init__.py: change that one.
"""The client without asyncio, made from `ductape._async`."""
