"""The client: over HTTP only, for asyncio (asynchronous.py), in a thread without (blocking.py), and once (once.py)."""
