"""The client for asyncio, written by hand; `ductape._sync` is made from it by `generate.py`."""
