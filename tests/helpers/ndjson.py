"""Requests in NDJSON."""

LINES = {"content-type": "application/x-ndjson"}
