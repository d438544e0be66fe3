"""Good input that is unusual: every way in which HTTP lets a client send a request."""

import json
import subprocess

import httpx

from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess
from tests.helpers.wire import HOST, Wire

DOCUMENT = b'{"a":1}'


def test_a_chunked_body(module_boss: BossProcess, source: str) -> None:
    with Wire(module_boss.port) as wire:
        body = b"".join(b"1;ext=1\r\n%c\r\n" % byte for byte in DOCUMENT) + b"0\r\nTrailer: x\r\n\r\n"
        reply = wire.request("POST", f"/job/available/{source}", "Transfer-Encoding: chunked", body=body).reply()
        assert reply.status == 201
        assert json.loads(reply.body)["job"] == {"a": 1}
        assert wire.request("GET", f"/job/available/{source}").reply().status == 200


def test_keep_alive_and_pipelining(module_boss: BossProcess, source: str) -> None:
    with Wire(module_boss.port) as wire:
        path = f"/job/available/{source}".encode()
        for number in range(20):
            body = b'{"n":%d}' % number
            wire.send(b"POST ", path, b" HTTP/1.1\r\n", HOST, b"Content-Length: %d\r\n\r\n" % len(body), body)
        for _ in range(21):
            wire.send(b"GET ", path, b" HTTP/1.1\r\n", HOST, b"\r\n")
        submitted = [wire.reply() for _ in range(20)]
        taken = [wire.reply() for _ in range(21)]
    assert [json.loads(reply.body)["job"]["n"] for reply in submitted] == list(range(20))
    assert [json.loads(reply.body)["job"]["n"] for reply in taken[:20]] == list(range(20))
    assert taken[20].status == 404


def test_http_1_0(module_boss: BossProcess) -> None:
    with Wire(module_boss.port) as wire:
        assert wire.send(b"GET /job HTTP/1.0\r\n\r\n").reply().status == 200


def test_head_on_a_kept_connection_has_no_body(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    with Wire(module_boss.port) as wire:
        for _ in range(3):
            for path in (f"/job/available/{source}/{id}", "/job/available", "/jobs", "/job/active/x/y", "/nothing"):
                reply = wire.request("HEAD", path).reply("HEAD")
                assert reply.status == (
                    200 if path in (f"/job/available/{source}/{id}", "/job/available", "/jobs") else 404
                )


def test_curl_is_a_complete_client(module_boss: BossProcess, source: str) -> None:
    def curl(*arguments: str) -> str:
        done = subprocess.run(["curl", "-sS", "--fail", *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    # -d sends application/x-www-form-urlencoded, -T a file as it is, both without our having to say more.
    id = json.loads(curl("-d", '{"a":1}', f"{module_boss.url}/job/available/{source}"))["id"]
    assert json.loads(curl(f"{module_boss.url}/job/available/{source}"))["id"] == id
    assert "200 OK" in curl("-I", f"{module_boss.url}/job/active/{source}/{id}")
    curl("-X", "POST", f"{module_boss.url}/job/done/{source}/{id}")
    assert id in curl(f"{module_boss.url}/job/done/{source}/{id}")
