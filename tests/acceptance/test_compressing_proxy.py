"""Behind a proxy that compresses: the ETag that it changes still names the attempt, and bodies stay the same."""

from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from boss.client.sync_client import Client
from tests.helpers.compressing_proxy import CompressingProxy
from tests.helpers.ndjson import LINES
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess
from tests.helpers.sites import serving

pytestmark = pytest.mark.slow

NO_TRANSFORM = "no-store, no-transform"


@pytest.fixture(params=[True, False], ids=["obeying", "compressing"])
def proxied(request: pytest.FixtureRequest, module_boss: BossProcess) -> Iterator[str]:
    """The address of a proxy before the module's Boss."""
    with serving(partial(CompressingProxy, module_boss.port, request.param)) as port:
        yield f"http://127.0.0.1:{port}"


def test_a_job_s_life(proxied: str, source: str) -> None:
    with httpx.Client(base_url=proxied) as client:
        id = submit(client, source, '{"exact": 1.10}')
        taken = client.get(f"/job/available/{source}")
        assert taken.text == f'{{"id":"{id}","source":"{source}","job":{{"exact": 1.10}}}}'
        first = {"if-match": taken.headers["etag"]}
        active, done = f"/job/active/{source}/{id}", f"/job/done/{source}/{id}"
        assert client.head(active, headers=first).status_code == 200
        assert client.get(active, headers=first).status_code == 200
        assert client.delete(f"{active}?delay=0", headers=first).status_code == 204
        second = {"if-match": client.get(f"/job/available/{source}").headers["etag"]}
        assert_problem(client.post(done, headers=first), 412, "attempt 1")
        assert client.head(active, headers=first).status_code == 412
        assert client.post(done, headers=second).status_code == 200


def test_with_our_own_client(proxied: str, source: str) -> None:
    with Client(proxied) as client:
        client.submit(source, {"a": 1})
        with client.take(source) as job:
            assert (job.document, job.attempt) == ({"a": 1}, 1)
            job.check()


def test_a_proxy_that_obeys_leaves_every_answer_alone(
    module_boss: BossProcess, client: httpx.Client, source: str
) -> None:
    line = b'{"id": "none"}\n'
    id = submit(client, source)
    for method, path, options in (
        ("POST", f"/job/available/{source}/{source}-x", {"content": b"{}"}),
        ("POST", f"/job/available/{source}/{source}-x", {"content": b"{}"}),  # a problem
        ("POST", f"/job/available/{source}", {"content": b"{}\n", "headers": LINES}),
        ("POST", f"/job/available/{source}?ids=given", {"content": b'{"id": "y", "job": {}}\n', "headers": LINES}),
        ("HEAD", f"/job/available/{source}", {}),
        ("GET", f"/job/available/{source}/{id}", {}),
        ("GET", f"/job/available/{source}", {}),
        ("GET", f"/job/available/{source}?limit=2", {}),
        ("HEAD", f"/job/active/{source}/{id}", {}),
        ("GET", f"/jobs/{id}", {}),
        ("GET", "/jobs", {}),
        ("GET", "/job", {}),
        ("GET", "/job", {"headers": {"accept": "text/plain"}}),
        ("DELETE", f"/job/active/{source}/{id}", {}),
        ("POST", f"/job/done/{source}/{id}", {}),
        ("POST", f"/job/done/{source}", {"content": line, "headers": LINES}),
        ("DELETE", "/job/done?older=100000", {}),
        ("GET", "/job/available/none", {}),
        ("GET", "/nothing", {}),
        ("PUT", "/jobs", {}),
        ("GET", "/metrics", {}),
        ("GET", "/token", {}),
    ):
        answer = client.request(method, path, **options)
        assert answer.headers["cache-control"] == NO_TRANSFORM, (method, path, answer.text)
    with client.stream("GET", "/watch") as stream:
        assert stream.headers["cache-control"] == NO_TRANSFORM


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        *(('"1"', 200), ('W/"1"', 200), ("*", 200), ('"1", W/"1"', 200), ('"1",,', 200)),
        # What Apache and Jetty make of it.
        *(('"1-gzip"', 200), ('"1--gzip"', 200), ('W/"1-gzip"', 200), ('"1;br"', 200), ('"1-zstd"', 200)),
        # One of a list is enough, and what cannot be an attempt is none.
        *(
            ('"1", "x"', 200),
            ('"x", W/"1", "y,z"', 200),
            ('"x", "y"', 412),
            ('"2"', 412),
            ('W/"2"', 412),
            ('"1-x"', 412),
        ),
        *(('"01"', 200), ('""', 412), ('"9999999999"', 412), ('"-1"', 412), ('"1,2"', 412)),
        # Of two attempts nobody can hold both; and these are no tags.
        *(('"1", "2"', 400), ('W/"1", *', 400), ('*, "1"', 400), ("1", 400), ('"1', 400), ('w/"1"', 400), ("W/1", 400)),
        *(('"1" "2"', 400), (",", 400), ("**", 400), ('"1"x', 400), ('W/ "1"', 400)),
    ],
)
def test_what_if_match_means(client: httpx.Client, source: str, tags: str, status: int) -> None:
    id = submit(client, source)
    client.get(f"/job/available/{source}")
    for method, path in (("HEAD", "active"), ("GET", "active"), ("POST", "done")):
        answer = client.request(method, f"/job/{path}/{source}/{id}", headers={"if-match": tags})
        assert answer.status_code == status, answer.text
    if status == 400:
        assert_problem(answer, 400, "takes the one ETag")


def test_the_page_is_not_sent_again_by_its_weak_tag(client: httpx.Client) -> None:
    for path in ("/", "/page/app.js"):
        tag = client.get(path).headers["etag"]
        for known in (tag, f"W/{tag}", f'"x", W/{tag}', "*", tag[:-1] + '-gzip"'):
            assert client.get(path, headers={"if-none-match": known}).status_code == 304, known
        assert client.get(path, headers={"if-none-match": '"x", W/"y"'}).status_code == 200
