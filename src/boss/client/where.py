"""Where Boss is, and what is shown to it."""

import os
from urllib.parse import urlsplit

from boss.errors import NotAUrl
from boss.settings import DEFAULT_URL


def find_boss(url: str | None, token: str | None) -> tuple[str, dict[str, str]]:
    """Its URL, and the headers of every request: what is given, else what is in the environment.

    Raises:
        NotAUrl: that is no URL.
    """
    url = url or os.environ.get("BOSS_URL") or DEFAULT_URL
    if not _is_url(url):
        raise NotAUrl(f"{url!a} is no URL; it should look like {DEFAULT_URL}")
    token = token or os.environ.get("BOSS_TOKEN")
    return url, {"authorization": f"Bearer {token}"} if token else {}


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def reason(error: Exception) -> str:
    """Why there was no answer, in words."""
    if isinstance(error, OSError) and error.strerror and (error.errno or 0) < 0:
        return error.strerror  # one of getaddrinfo's, whose numbers are negative
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
