"""Clients that generators make of `/openapi.json` compile, and go the four steps of a converter against a real Boss.

The generators come from the npm registry and from PyPI. A test whose generator cannot be installed is skipped.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

NPM = ["openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3", "@redocly/cli@2.77.0"]
NODE_TYPES = "@types/node@20"
PYPI = ["openapi-python-client==0.29.1", "openapi-generator-cli==7.26.0"]
# The package from PyPI has the generator itself, which runs on Java.
needs_java = pytest.mark.skipif(not shutil.which("java"), reason="java is not installed here")

TYPESCRIPT_FETCH = """
import { Configuration, HoldingApi, Job, MovingApi, TakingApi } from "./client";

const configuration = new Configuration({ basePath: process.argv[2] });
const taking = new TakingApi(configuration);
const holding = new HoldingApi(configuration);
const moving = new MovingApi(configuration);

async function take(source: string) {
  const response = await taking.takeOfSourceRaw({ source });
  const job = (await response.value()) as Job;
  const ifMatch = response.raw.headers.get("etag") ?? "";
  return { pages: job.job.pages as number, address: { source, id: job.id, ifMatch } };
}

async function work(source: string) {
  const first = await take(source);
  await holding.checkActive(first.address);
  await moving.finish({ ...first.address, requestBody: { rows: first.pages } });
  const second = await take(source);
  await holding.giveBack({ ...second.address, delay: 1000, requestBody: { error: "no disk" } });
  const jobs = await taking.takeOfSource({ source, limit: 2 });
  console.log(Array.isArray(jobs) ? jobs.map((job) => job.id).join() : "no array");
}

work(process.argv[3]).catch((error) => { console.error(error); process.exit(1); });
"""

OPENAPI_FETCH = """
import createClient from "openapi-fetch";
import type { paths } from "./boss";

const boss = createClient<paths>({ baseUrl: process.argv[2] });

async function take(source: string) {
  const { data, response } = await boss.GET("/job/available/{source}", { params: { path: { source } } });
  if (data === undefined || Array.isArray(data)) throw new Error("no job");
  const params = { path: { source, id: data.id }, header: { "If-Match": response.headers.get("etag") ?? "" } };
  return { pages: data.job.pages as number, params };
}

function must({ response }: { response: Response }) {
  if (!response.ok) throw new Error(`${response.status}`);
}

async function work(source: string) {
  const first = await take(source);
  must(await boss.HEAD("/job/active/{source}/{id}", { params: first.params }));
  must(await boss.POST("/job/done/{source}/{id}", { params: first.params, body: { rows: first.pages } }));
  const { params } = await take(source);
  const delayed = { ...params, query: { delay: 1000 } };
  must(await boss.DELETE("/job/active/{source}/{id}", { params: delayed, body: { error: "no disk" } }));
  const path = "/job/available/{source}";
  const { data } = await boss.GET(path, { params: { path: { source }, query: { limit: 2 } } });
  console.log(Array.isArray(data) ? data.map((job) => job.id).join() : "no array");
}

work(process.argv[3]).catch((error) => { console.error(error); process.exit(1); });
"""

PYTHON = """
import sys

from boss_client import Client
from boss_client.api.holding import check_active, give_back
from boss_client.api.moving import finish
from boss_client.api.taking import take_of_source
from boss_client.models import Document, Job

boss, source = Client(base_url=sys.argv[1]), sys.argv[2]


def take() -> tuple[Job, str]:
    response = take_of_source.sync_detailed(source, client=boss)
    assert isinstance(response.parsed, Job), response
    return response.parsed, response.headers["etag"]


first, attempt = take()
assert check_active.sync_detailed(source, first.id, client=boss, if_match=attempt).status_code == 200
result = Document.from_dict({"rows": first.job["pages"]})
assert finish.sync_detailed(source, first.id, client=boss, if_match=attempt, body=result).status_code == 200
second, attempt = take()
why = Document.from_dict({"error": "no disk"})
given = give_back.sync_detailed(source, second.id, client=boss, if_match=attempt, delay=1000, body=why)
assert given.status_code == 204
jobs = take_of_source.sync(source, client=boss, limit=2)
print(",".join(job.id for job in jobs) if isinstance(jobs, list) else "no array")
"""

STRICT = {"strict": True, "target": "es2022", "lib": ["es2022", "dom"], "types": ["node"], "outDir": "out"}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def install(*command: str | Path, cwd: Path) -> None:
    """Install packages; skip the test when that is not possible here."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        said = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if "err" in line.lower()]
        pytest.skip(f"the generators cannot be installed here: {' | '.join(said[:3])[:300]}")


@pytest.fixture(scope="module")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages from npm."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed here")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text("{}")
    install("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *NPM, NODE_TYPES, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def pypi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the packages from PyPI."""
    folder = tmp_path_factory.mktemp("pypi")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    install(folder / "bin" / "pip", "install", "--disable-pip-version-check", *PYPI, cwd=folder)
    return folder / "bin"


@pytest.fixture(scope="module")
def api(module_boss: BossProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document as it is served."""
    file = tmp_path_factory.mktemp("api") / "openapi.json"
    file.write_text(httpx.get(f"{module_boss.url}/openapi.json").text)
    return file


class Work:
    """Three jobs of a source, and what must become of them.

    Args:
        client: a client of Boss.
        source: the source.
    """

    def __init__(self, client: httpx.Client, source: str) -> None:
        self._client = client
        self._ids = [submit(client, source, json.dumps({"pages": pages})) for pages in (7, 8, 9)]

    def assert_done(self, said: str) -> None:
        first, second, third = (self._client.get(f"/jobs/{id}").json() for id in self._ids)
        assert (first["state"], first["outcome"], first["result"]) == ("done", "completed", {"rows": 7})
        assert (second["state"], second["result"], second["history"][0]["why"]) == (
            "available",
            {"error": "no disk"},
            "no disk",
        )
        assert second["due"] is not None
        assert (third["state"], said.strip()) == ("active", third["id"])


@pytest.fixture
def work(client: httpx.Client, source: str) -> Work:
    return Work(client, source)


def test_redocly_finds_no_error(npm: Path, api: Path) -> None:
    said = run("npx", "redocly", "lint", api, "--format=json", cwd=npm)
    assert json.loads(said[said.index("{") :])["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


def compiled(npm: Path, folder: Path, program: str) -> Path:
    """Compile a program, with the client that it imports; return the file that node runs."""
    (folder / "main.ts").write_text(program)
    (folder / "node_modules").symlink_to(npm / "node_modules")
    options = STRICT | {"module": "commonjs", "moduleResolution": "node10", "rootDir": "."}
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["**/*.ts"]}))
    run(npm / "node_modules" / ".bin" / "tsc", "--project", folder, cwd=folder)
    return folder / "out" / "main.js"


def test_openapi_typescript(
    npm: Path, api: Path, tmp_path: Path, module_boss: BossProcess, source: str, work: Work
) -> None:
    run(npm / "node_modules" / ".bin" / "openapi-typescript", api, "--output", tmp_path / "boss.ts", cwd=npm)
    main = compiled(npm, tmp_path, OPENAPI_FETCH)
    work.assert_done(run("node", main, module_boss.url, source, cwd=tmp_path))


@needs_java
def test_openapi_generator_for_typescript(
    npm: Path, pypi: Path, api: Path, tmp_path: Path, module_boss: BossProcess, source: str, work: Work
) -> None:
    asked = ["generate", "-g", "typescript-fetch", "-i", str(api), "-o", str(tmp_path / "client")]
    run(pypi / "openapi-generator-cli", *asked, cwd=tmp_path)
    main = compiled(npm, tmp_path, TYPESCRIPT_FETCH)
    work.assert_done(run("node", main, module_boss.url, source, cwd=tmp_path))


def test_openapi_python_client(
    pypi: Path, api: Path, tmp_path: Path, module_boss: BossProcess, source: str, work: Work
) -> None:
    # It formats what it has made, where ruff is installed.
    said = run(
        pypi / "openapi-python-client", "generate", "--path", api, "--output-path", tmp_path / "it", cwd=tmp_path
    )
    # All but a batch as lines, which it cannot send.
    assert "ERROR" not in said
    assert said.count("WARNING") == said.count("Unsupported content type application/x-ndjson")
    run(pypi / "python", "-m", "compileall", "-q", "boss_client", cwd=tmp_path / "it")
    (tmp_path / "it" / "main.py").write_text(PYTHON)
    work.assert_done(run(pypi / "python", "main.py", module_boss.url, source, cwd=tmp_path / "it"))
