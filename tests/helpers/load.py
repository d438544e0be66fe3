"""Load for tests in which servers come and go: afterwards everything must hold that a response promised."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

import httpx

SOURCES = 3


class Load:
    """Submitters and takers that use several replicas, and record the responses.

    Args:
        urls: the URLs of the replicas; they may change meanwhile.
        pause: how long a submitter waits after each job, in seconds.

    Attributes:
        submitted: the ids of the jobs that were stored, by the responses.
        taken: how often each attempt, an id and an ETag, was handed out.
        done: the ids of the jobs that were done, by the responses.
        last: by replica, the time of the last response that was no error.
        gaps: by replica, the longest time between two responses that were no errors.
        statuses: how many responses had each status.
        failed: the requests without a response.
    """

    def __init__(self, urls: list[str], pause: float = 0) -> None:
        self.urls = urls
        self._pause = pause
        self._lock = threading.Lock()
        # One client for all threads, because each new one reads all certificates. One connection for each request,
        # because servers stop.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.Client(timeout=40, limits=limits)
        self._numbers = itertools.count()
        self.over = threading.Event()
        self.submitted: set[str] = set()
        self.taken: Counter[tuple[str, str]] = Counter()
        self.done: set[str] = set()
        self.last_answer = time.monotonic()
        self.last: dict[str, float] = {}
        self.gaps: dict[str, float] = {}
        self.statuses: Counter[int] = Counter()
        self.failed: list[str] = []

    def ask(self, method: str, path: str, **more: object) -> httpx.Response | None:
        """Send a request to one of the replicas; return its response, or None without one."""
        url = random.choice(self.urls)
        try:
            answer = self._client.request(method, f"{url}{path}", **more)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            self.failed.append(f"{method} {url}{path}: {error!r}")
            return None
        with self._lock:
            self.statuses[answer.status_code] += 1
            if answer.status_code == 503:
                assert answer.headers["retry-after"] == "1"
            elif answer.status_code < 300:
                self._answered(url)
        return answer

    def _answered(self, url: str) -> None:
        self.last_answer = time.monotonic()
        gap = self.last_answer - self.last.get(url, self.last_answer)
        self.gaps[url] = max(gap, self.gaps.get(url, 0))
        self.last[url] = self.last_answer

    def submit(self) -> None:
        """Submit one job after the other until the end."""
        while not self.over.is_set():
            id = f"job-{next(self._numbers)}"
            while True:
                answer = self.ask("POST", f"/job/available/source-{len(id) % SOURCES}/{id}?attempts=1000", content="{}")
                if answer and answer.status_code in (201, 409):
                    with self._lock:
                        self.submitted.add(id)
                    break
                if self.over.is_set():
                    return
                time.sleep(0.05)
            self.over.wait(self._pause)

    def convert(self) -> None:
        """Take and finish one job after the other until the end."""
        while not self.over.is_set():
            self.convert_one("/job/available?lease=3&wait=2")

    def convert_one(self, path: str) -> bool:
        """Take a job and finish it; return whether there was one."""
        answer = self.ask("GET", path)
        if not answer or answer.status_code != 200:
            return False
        id, attempt = answer.json()["id"], answer.headers["etag"]
        with self._lock:
            self.taken[id, attempt] += 1
        done = f"/job/done/{answer.json()['source']}/{id}"
        while True:
            finished = self.ask("POST", done, headers={"if-match": attempt})
            if finished is None or finished.status_code == 503:
                time.sleep(0.05)
                continue
            # 404: an earlier try was carried out. 412, or 404 again: the lease expired meanwhile.
            if finished.status_code == 200:
                with self._lock:
                    self.done.add(id)
            return True


def open_jobs(client: httpx.Client) -> int:
    """How many jobs are not done."""
    tree: dict[str, dict[str, int]] = client.get("/job").json()
    return sum(tree["available"].values()) + sum(tree["active"].values())


def every_job(client: httpx.Client) -> Iterator[dict[str, object]]:
    """All jobs with all their properties."""
    address = "/jobs?limit=1000"
    while address:
        page = client.get(address).json()
        yield from page["jobs"]
        address = page["next"]
