"""Clients that hang up, and jobs that are active for nobody."""

from pathlib import Path

from tests.helpers.servers import BossProcess, until

# How many more answers than `unheard` counts may have reached no client, when thousands of clients reset their
# connections. An answer that arrives while the client's system closes the socket is dropped without a reset, and
# nothing counts it. Measured with two processes that send and reset at the same moment: 81 of 60,000 answers. In a test
# some 15 answers cross a reset, so four of these are not seen in a lifetime.
UNCOUNTED_WITH_RESETS = 3


def unheard() -> int:
    """How many answers on this machine reached a client's system, but no client.

    Either the client closed its socket before it had read everything, or its reset crossed the answer on the way. The
    system sends a reset for each. It sends one also where a client asks for it; those have a counter of their own.
    """
    return _counters("snmp", "Tcp:")["OutRsts"] - _counters("netstat", "TcpExt:")["TCPAbortOnData"]


def _counters(file: str, protocol: str) -> dict[str, int]:
    """What the system has counted of a protocol (Linux's /proc/net/netstat and /proc/net/snmp)."""
    lines = Path(f"/proc/net/{file}").read_text().splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith(protocol))
    return dict(zip(names, map(int, values), strict=True))


def request(source: str, wait: str) -> bytes:
    return f"GET /job/available/{source}{wait} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def fill(boss: BossProcess, source: str, jobs: int) -> None:
    with boss.client() as client:
        for _ in range(0, jobs, 1000):
            headers = {"content-type": "application/x-ndjson"}
            assert client.post(f"/job/available/{source}", content="{}\n" * 1000, headers=headers).status_code == 201


def active(boss: BossProcess, source: str) -> set[str]:
    """The ids of the active jobs of a source."""
    found: set[str] = set()
    path = f"/jobs?state=active&source={source}&limit=1000"
    with boss.client() as client:
        while path:
            page = client.get(path).json()
            found |= {job["id"] for job in page["jobs"]}
            path = page["next"]
    return found


def assert_none_is_active_for_nobody(boss: BossProcess, source: str, got: list[str], unheard: int) -> None:
    assert len(set(got)) == len(got), "a job was handed to two"

    def for_nobody() -> set[str]:
        return active(boss, source) - set(got)

    until(
        lambda: len(for_nobody()) <= unheard, lambda: f"{len(for_nobody())} are, {unheard} may be; {boss.log[-5000:]}"
    )
    assert set(got) <= active(boss, source)
    assert '"level":"error"' not in boss.log
