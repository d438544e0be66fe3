"""How long a connection may be idle: longer than proxies keep theirs, so that the proxies close them."""

from boss.settings import Settings
from tests.helpers.servers import boss_running
from tests.helpers.wire import Wire

# What load balancers and proxies keep an idle connection for, where nobody has said otherwise: 60 seconds.
_USUAL_S = 60


def test_between_requests_it_is_longer_than_proxies_keep_connections() -> None:
    assert Settings.header_timeout >= _USUAL_S + 15


def test_who_says_nothing_or_half_a_head_is_cut_off(database: str) -> None:
    with boss_running("--database", database, "--header-timeout", "1") as boss:
        with Wire(boss.port) as silent:
            assert silent.socket.recv(1) == b""
        for said in (b"G", b"GET /health/live HTTP/1.1\r\nHost:"):
            with Wire(boss.port) as wire:
                assert wire.send(said).reply().status == 408
                assert wire.socket.recv(1) == b""


def test_a_cookie_signed_in_by_tls_is_for_tls(database: str) -> None:
    """Boss hears of TLS that ends at a proxy by the Origin that the page is of."""
    with boss_running("--database", database) as boss, boss.client() as client:
        token = client.post("/token/root", json={"role": "admin"}).json()["token"]
        for origin, secure in (("https://boss.example", True), ("http://boss.example", False)):
            headers = {"origin": origin, "host": "boss.example"}
            signed = client.post("/session", json={"token": token}, headers=headers)
            assert signed.status_code == 200
            assert ("; Secure" in signed.headers["set-cookie"]) == secure
