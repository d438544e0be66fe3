"""The certificate of a server and its key, which can be renewed while Boss runs."""

import asyncio
import logging
import signal
import ssl
from contextlib import suppress
from pathlib import Path

from boss.errors import StartError, WrongSetting
from boss.settings import Settings

log = logging.getLogger("boss")

# How often to check for a new certificate, in seconds.
_INTERVAL_S = 1.0
# What a PEM file has that contains a private key, or a certificate.
_KEY, _CERTIFICATE = b"PRIVATE KEY-----", b"-----BEGIN CERTIFICATE-----"


def _no_pass_phrase() -> str:
    # Without this OpenSSL asks on the terminal, and everybody waits for an answer.
    raise WrongSetting("the key of the certificate has a pass phrase; Boss takes a key without one")


class Certificate:
    """The certificate for new connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.context: ssl.SSLContext | None = None

    def load(self) -> None:
        """Read the certificate and its key from their files.

        Raises:
            WrongSetting: the files are not a certificate with its key.
        """
        cert, key = self._settings.tls_cert, self._settings.tls_key
        assert cert
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(cert, key, _no_pass_phrase)
        except (OSError, ssl.SSLError) as error:
            raise WrongSetting(_wrong(cert, key or cert, error)) from error
        self.context = context

    async def renew_forever(self) -> None:
        """Load the certificate anew whenever its files change, and on SIGHUP, until cancelled.

        Open connections keep the old certificate.
        """
        if not self._settings.tls_cert:
            return
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
        seen = self._changed_at()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), _INTERVAL_S)
            now = self._changed_at()
            if now == seen and not asked.is_set():
                continue
            asked.clear()
            try:
                self.load()
            except StartError as error:
                # The files may be half written. The next check sees the rest.
                log.warning("keeping the old certificate: %s", error)
                continue
            seen = now
            log.info("new connections get the new certificate")

    def _changed_at(self) -> list[int]:
        """Modification times and inode numbers of the files.

        Kubernetes replaces a symbolic link in their path, so the inode numbers are needed too.
        """
        files: list[Path] = [file for file in (self._settings.tls_cert, self._settings.tls_key) if file]
        try:
            return [number for file in files for number in (file.stat().st_mtime_ns, file.stat().st_ino)]
        except OSError:
            return []


def _wrong(cert: Path, key: Path, error: OSError) -> str:
    """What is wrong with the files of a certificate and its key that OpenSSL does not take."""
    found = []
    for file in (cert, key):
        try:
            found.append(file.read_bytes())
        except OSError as unread:
            return f"{file} cannot be read: {unread.strerror}"
    in_cert, in_key = found
    if _KEY not in in_key:
        swapped = _KEY in in_cert and _CERTIFICATE in in_key
        hint = "; --tls-cert and --tls-key are swapped" if swapped else ""
        return f"{key} has no private key (PEM){hint}"
    if _CERTIFICATE not in in_cert:
        return f"{cert} has no certificate (PEM)"
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return f"the key in {key} is not the key of the first certificate in {cert}"
    return f"{cert} and {key} are not a certificate with its key: {error}"
