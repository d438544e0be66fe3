"""The proxies of docs/proxies.md, run with the configurations shown there."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.helpers.certificates import certificate
from tests.helpers.servers import free_port, until

_PAGE = (Path(__file__).parents[2] / "docs" / "proxies.md").read_text()
# nginx's main file, which includes the one on the page.
_NGINX = """
{user}
daemon off;
pid {folder}/pid;
error_log {folder}/log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {shown}
}}
"""
_CADDY = """
{{
    admin off
    auto_https disable_redirects
    skip_install_trust
    grace_period 1s
}}
{shown}
"""


def configuration(name: str) -> str:
    """The configuration that the page shows for this proxy."""
    [shown] = re.findall(rf"```{name}\n(.*?)```", _PAGE, re.DOTALL)
    return str(shown)


class _Proxy(NamedTuple):
    program: str
    # What to replace in the configuration; {port}, {cert}, {key} and {both} are those of the test.
    changes: Sequence[tuple[str, str]]
    around: str
    command: Callable[[str], list[str]]


PROXIES = {
    "nginx": _Proxy(
        "nginx",
        [
            ("listen 443", "listen 127.0.0.1:{port}"),
            ("/etc/ssl/boss.crt", "{cert}"),
            ("/etc/ssl/boss.key", "{key}"),
        ],
        _NGINX,
        lambda file: ["nginx", "-e", "stderr", "-c", file],
    ),
    "haproxy": _Proxy(
        "haproxy",
        [("bind :443", "bind 127.0.0.1:{port}"), ("/etc/haproxy/boss.pem", "{both}")],
        "{shown}",
        lambda file: ["haproxy", "-db", "-f", file],
    ),
    "caddyfile": _Proxy(
        "caddy",
        [("boss.example {", "https://localhost:{port}, https://boss.example:{port} {\n    tls {cert} {key}")],
        _CADDY,
        lambda file: ["caddy", "run", "--adapter", "caddyfile", "--config", file],
    ),
}


@contextmanager
def proxying(name: str, replicas: tuple[int, int], folder: Path, *changes: tuple[str, str]) -> Iterator[int]:
    """Run this proxy in front of replicas at these ports; yield its port for TLS. Skips where it is not installed.

    Args:
        changes: what else to replace in its configuration.
    """
    proxy = PROXIES[name]
    if not shutil.which(proxy.program):
        pytest.skip(f"{proxy.program} is not installed here")
    port = free_port()
    cert, key = certificate(folder, "boss")
    both = folder / "both.pem"
    both.write_text(cert.read_text() + key.read_text())
    shown = configuration(name)
    for old, new in changes:
        assert old in shown
        shown = shown.replace(old, new)
    for old, new in [
        *proxy.changes,
        ("127.0.0.1:8080", f"127.0.0.1:{replicas[0]}"),
        ("127.0.0.1:8081", f"127.0.0.1:{replicas[1]}"),
    ]:
        assert old in shown
        values = {"{port}": str(port), "{cert}": str(cert), "{key}": str(key), "{both}": str(both)}
        shown = shown.replace(old, re.sub(r"\{\w+\}", lambda found: values[found[0]], new))  # noqa: B023
    file, log = folder / "configuration", folder / "out"
    user = "user root;" if os.geteuid() == 0 else ""
    file.write_text(proxy.around.format(shown=shown, folder=folder, user=user))
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with served(proxy.command(str(file)), log, lambda: client_of(port), cwd=folder, env=environment):
        yield port


@contextmanager
def served(command: Sequence[str], log: Path, client: Callable[[], httpx.Client], **options: Any) -> Iterator[None]:
    """Run a proxy until the block is left, which begins when the Boss behind it answers this client.

    Args:
        command: the proxy's command line.
        log: the file for its output.
        client: makes a client of it.
        options: further arguments for `subprocess.Popen`.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, **options)
    try:

        def serves() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                with client() as each:
                    return each.get("/health/ready").status_code == 200
            except httpx.TransportError:
                return False

        until(serves)
        yield
    finally:
        process.terminate()
        process.wait(60)


def client_of(port: int) -> httpx.Client:
    """A client of the Boss behind the proxy at this port."""
    return httpx.Client(base_url=f"https://localhost:{port}", verify=False, timeout=70)
