"""A URL with the wrong scheme or with a path; and a certificate that is not trusted."""

import os
from pathlib import Path

import pytest

from boss import AsyncClient, NotABoss
from tests.helpers.certificates import certificate
from tests.helpers.commands import Boss
from tests.helpers.servers import BossProcess, boss_running

pytestmark = pytest.mark.slow


async def test_https_to_http(module_boss: BossProcess) -> None:
    url = module_boss.url.replace("http:", "https:")
    said = Boss(url)("tree")
    assert f"the server at {url} speaks http, not https: say http://" in said.stderr
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    async with AsyncClient(url) as client:
        with pytest.raises(NotABoss, match="speaks http, not https"):
            await client.tree()


async def test_http_to_https(database: str, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "localhost")
    with boss_running("--database", database, "--tls-cert", str(cert), "--tls-key", str(key)) as running:
        said = Boss(running.url)("tree")
        assert f"the server at {running.url} speaks https, not http: say https://" in said.stderr
        assert (said.returncode, said.stderr.count("\n")) == (1, 1)
        async with AsyncClient(running.url) as client:
            with pytest.raises(NotABoss, match="speaks https, not http"):
                await client.tree()


async def test_a_certificate_that_is_not_trusted(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    cert, key = certificate(tmp_path, "localhost")
    with boss_running("--database", database, "--tls-cert", str(cert), "--tls-key", str(key)) as running:
        boss = Boss(running.url.replace("http:", "https:"))
        said = boss("tree")
        assert f"the certificate of the server at {boss.environment['BOSS_URL']} is not trusted" in said.stderr
        assert "self-signed certificate. SSL_CERT_FILE in the environment" in said.stderr
        assert (said.returncode, said.stderr.count("\n")) == (1, 1)
        async with AsyncClient(boss.environment["BOSS_URL"]) as client:
            with pytest.raises(NotABoss, match="is not trusted: self-signed"):
                await client.tree()
        # It would never come to be trusted by itself.
        working = boss("work", "freg", "--", "cat")
        assert (working.returncode, "SSL_CERT_FILE" in working.stderr) == (1, True)
        boss.environment["SSL_CERT_FILE"] = os.fspath(cert)
        assert boss("tree").stdout.startswith("job\n")
        for name, says in (
            (tmp_path / "none.pem", f"SSL_CERT_FILE names {tmp_path}/none.pem, which cannot be read: No such file"),
            (key, f"SSL_CERT_FILE names {key}, which has no certificate (PEM)"),
            (tmp_path, f"SSL_CERT_FILE names {tmp_path}, which cannot be read: Is a directory"),
        ):
            boss.environment["SSL_CERT_FILE"] = os.fspath(name)
            said = boss("tree")
            assert says in said.stderr
            assert (said.returncode, said.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("path", "words", "says", "code"),
    [
        ("/boss", ["tree"], "Boss has nothing at {url}/boss/job. Is the path in its URL right?", 1),
        ("/boss", ["take", "freg"], "Boss has nothing at {url}/boss/job/available/freg?limit=1. Is the path", 1),
        ("/boss", ["check", "freg", "monday"], "Boss has nothing at {url}/boss/job/active/freg/monday. Is", 1),
        ("/boss", ["work", "freg", "--until-empty", "--", "cat"], "Boss has nothing at {url}/boss/job/available/", 1),
        ("/job", ["tree"], "Boss has nothing at {url}/job/job", 1),
        ("/job/available", ["tree"], "is not the URL of Boss itself: it has the path of jobs; it should look like", 2),
        ("/?a=1", ["tree"], "is not the URL of Boss itself: it has a query", 2),
        ("/#/jobs", ["tree"], "is not the URL of Boss itself: it has a fragment", 2),
    ],
)
def test_a_url_with_more_than_a_host(
    module_boss: BossProcess, path: str, words: list[str], says: str, code: int
) -> None:
    said = Boss(f"{module_boss.url}{path}")(*words)
    assert says.format(url=module_boss.url) in said.stderr
    assert (said.returncode, said.stderr.count("\n")) == (code, 1)
