"""The client: over HTTP only, for asyncio (asynchronous.py) and, as the same run in a thread, without (blocking.py)."""
