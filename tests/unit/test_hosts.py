"""The hosts in a database's URL, and the error for a URL that cannot be understood."""

import pytest

from boss.errors import StartError
from boss.postgres.hosts import Hosts, in_a_line


def read(url: str) -> tuple[str | None, list[str]]:
    hosts = Hosts(url, {})
    return hosts._target, [str(host) for host in hosts._hosts]


@pytest.mark.parametrize(
    ("url", "target", "hosts"),
    [
        ("postgresql://u:p@one/boss", None, ["one"]),
        ("postgres://one:5433/boss", None, ["one:5433"]),
        ("postgresql://u:p%40%23%2F@one,two:5433/boss", "read-write", ["one", "two:5433"]),
        ("postgresql://one,two/boss?target_session_attrs=any", "any", ["one", "two"]),
        ("postgresql://u@[::1]:5433,[fe80::1]/boss", "read-write", ["::1:5433", "fe80::1"]),
        ("postgresql://u@/boss?host=one,two&port=5433,5434", "read-write", ["one:5433", "two:5434"]),
        ("postgresql:///boss?host=one,two&port=5433", "read-write", ["one:5433", "two:5433"]),
        ("postgresql://boss@/boss?host=/var/run/a%20b", None, ["/var/run/a b"]),
        ("postgresql://%2Fvar%2Frun/boss", None, ["/var/run"]),
        ("postgresql:///boss?user=me@realm&host=one", None, ["one"]),
        ("postgresql:///boss", None, []),
        ("postgresql://u@one/boss?sslmode=disable&search_path=other", None, ["one"]),
    ],
)
def test_the_hosts_of_a_url(url: str, target: str | None, hosts: list[str]) -> None:
    assert read(url) == (target, hosts)


def test_what_is_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "one,two")
    monkeypatch.setenv("PGPORT", "5433,5434")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "primary")
    assert read("postgresql:///boss") == ("primary", ["one:5433", "two:5434"])
    monkeypatch.setenv("PGPORT", "5433")
    assert read("postgresql:///boss") == ("primary", ["one", "two"])


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://boss:hun#ter2@host/boss",
        "postgresql://boss:12#34hunter@host/boss",
        "postgresql://boss:hunter/two@host/boss",
        "postgresql://boss:1234/hunter@host/boss",
        "postgresql://boss:hunter?two@host/boss",
        "postgresql://boss:hunter?two=3@host/boss",
        "postgresql://boss:hun@ter@host/boss",
        "postgresql://boss:hun[ter@host/boss",
        "postgresql://boss:hunter@host:port/boss",
        "postgresql://boss:hunter@host:99999/boss",
        "postgresql://boss:hunter@host:0/boss",
        "postgresql://boss:hunter@[::1/boss",
        "postgresql://boss:hunter@one,,two/boss",
        "postgresql://boss:hunter@one,two/boss?port=1,2,3",
        "postgresql://boss:hunter\u2100@host/boss",
        "mysql://boss:hunter@host/boss",
        "boss:hunter@host/boss",
        "host=host password=hunter",
        "hunter",
        "",
    ],
)
def test_a_url_that_is_wrong_is_not_repeated(url: str) -> None:
    with pytest.raises(StartError, match="the database's URL cannot be understood") as raised:
        Hosts(url, {})
    for part in ("hun", "ter", "1234", "34"):
        assert part not in str(raised.value)


def test_only_the_first_line_of_an_error_is_said() -> None:
    assert in_a_line(ValueError("duplicate key\nDETAIL:  Key (id)=(secret)")) == "duplicate key"
