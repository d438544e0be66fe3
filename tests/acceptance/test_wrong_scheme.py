"""A URL with the wrong scheme, https or http; and a certificate that is not trusted."""

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


async def test_a_certificate_that_is_not_trusted(database: str, tmp_path: Path) -> None:
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
