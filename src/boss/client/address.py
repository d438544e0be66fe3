"""The URL of Boss, the token that is sent to it, and the errors when nothing answers there."""

import os
import re
from urllib.parse import urlsplit

from boss.errors import SPEAKS_HTTPS, NotABoss, NotAUrl, Unauthenticated, Unreachable
from boss.settings import DEFAULT_URL

# The environment variables with the URL of Boss and the access token.
URL_VARIABLE = "BOSS_URL"
TOKEN_VARIABLE = "BOSS_TOKEN"  # noqa: S105  a name, and no token


def find_boss(url: str | None, token: str | None) -> tuple[str, dict[str, str]]:
    """The URL of Boss and the headers of every request, from the arguments or else from the environment.

    Raises:
        NotAUrl: the URL is malformed.
        Unauthenticated: the token is malformed.
    """
    url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    if not _is_url(url):
        raise NotAUrl(f"{url!a} is no URL; it should look like {DEFAULT_URL}")
    if longer := _more_than_a_url_of_boss(url):
        raise NotAUrl(f"{url!a} is not the URL of Boss itself: {longer}; it should look like {DEFAULT_URL}")
    token = token or os.environ.get(TOKEN_VARIABLE)
    if token and not (token.isascii() and token.isprintable()):
        raise Unauthenticated("the token has a character that no token can have, for instance a line ending")
    return url, {"authorization": f"Bearer {token}"} if token else {}


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        written = url.isprintable() and " " not in url
        return written and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _more_than_a_url_of_boss(url: str) -> str:
    """What the URL has that the URL of Boss does not have. Its path may be one below which a proxy has Boss."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        return f"it has a {'query' if parts.query else 'fragment'}"
    # A request below such a path could be another request, and even take a job.
    return "it has the path of jobs" if re.search("/job/(available|active|done)(/|$)", parts.path) else ""


def away(url: str, error: Exception) -> Unreachable:
    """The error to raise when no response came from the URL."""
    if untrusted := getattr(error, "verify_message", ""):  # of ssl.SSLCertVerificationError
        return NotABoss(
            f"the certificate of the server at {url} is not trusted: {untrusted}. {_trusted_certificates()}"
        )
    if wrong := _wrong_scheme(url, error):
        return NotABoss(f"the server at {url} {wrong}")
    return Unreachable(f"no Boss answers at {url}: {reason(error)}. Is it running there?")


def _trusted_certificates() -> str:
    """Which certificates are trusted, or why they cannot be read: OpenSSL does not tell."""
    import ssl

    file = os.environ.get("SSL_CERT_FILE")
    if not file:
        return "SSL_CERT_FILE in the environment may name a file with the certificates to trust"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        return f"SSL_CERT_FILE names {file}, which has no certificate (PEM)"
    except OSError as error:
        return f"SSL_CERT_FILE names {file}, which cannot be read: {error.strerror}"
    return f"The certificates to trust are those in {file} (SSL_CERT_FILE)"


def reason(error: Exception) -> str:
    """Why there was no response, in words."""
    number, words = getattr(error, "errno", None) or 0, getattr(error, "strerror", None)
    # A negative number comes from getaddrinfo, and TLS has numbers of its own. Both errors already have words.
    if number > 0 and not hasattr(error, "library"):
        return os.strerror(number)
    return words or str(error) or type(error).__name__


def _wrong_scheme(url: str, error: Exception) -> str:
    """What is wrong with the URL's scheme, when that is why there was no response; else an empty text."""
    secure = url.lower().startswith("https:")
    if secure and getattr(error, "reason", "") in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "speaks http, not https: say http://"
    # A TLS server answers a request without TLS by a TLS alert, or by closing the connection.
    if not secure and (re.search(r"\x15\x03|\\x15\\+x03", str(error)) or _answers_tls(url, error)):
        return SPEAKS_HTTPS
    return ""


def _answers_tls(url: str, error: Exception) -> bool:
    """Whether the server that closed the connection without a response speaks TLS."""
    import socket
    import ssl
    from http.client import RemoteDisconnected

    if not isinstance(error, ConnectionResetError | RemoteDisconnected):
        return False
    parts = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((parts.hostname or "", parts.port or 80), timeout=2) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False
