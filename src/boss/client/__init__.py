"""The client, over HTTP only: for asyncio (async_client.py), for code without it (sync_client.py), for converters."""
