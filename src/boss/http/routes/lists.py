"""What there is: `/job`, the tree with its counts, and `/jobs`, the jobs with all their properties."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import cast

import orjson

from boss.dispatch.ends import Ends
from boss.dispatch.queries import Queries
from boss.dispatch.tokens import Tokens
from boss.errors import BossError, NotThere, Unauthenticated, Unavailable
from boss.http import filters, parameters, problems
from boss.http.auth import requires
from boss.http.job_json import LINES, record_json, state_headers
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NDJSON, NO_STORE, Response
from boss.http.routes.tree_text import DRAWN_IDS, draw, tree
from boss.model import job
from boss.model.finding import JobFilter
from boss.model.job import JobRecord, State
from boss.model.permissions import Permission

_PAGE = 100
_UTC = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def resources(queries: Queries, ends: Ends, tokens: Tokens) -> Sequence[Resource]:
    """The resources."""

    async def find_reached(request: Request) -> JobRecord:
        found = await queries.find(job.check_id(request.path_param("id")))
        if not request.principal.reaches(found.source):
            raise NotThere(f"no job has the id {found.id}", None)
        return found

    @requires(Permission.READ)
    async def read_tree(request: Request) -> Response:
        """GET /job: every source's count in every state; drawn, with the greatest ids, for Accept: text/plain."""
        request.query()
        counts = {
            (source, state): jobs
            for (source, state), jobs in (await queries.count()).items()
            if request.principal.reaches(source)
        }
        if "text/plain" in (request.header(b"accept") or ""):
            drawn = draw(counts, await queries.greatest_ids(DRAWN_IDS + 1))
            return Response(200, [(b"content-type", b"text/plain; charset=utf-8"), NO_STORE], drawn.encode())
        return Response(200, [JSON, NO_STORE], orjson.dumps(tree(counts)))

    @requires(Permission.READ)
    async def list_jobs(request: Request) -> Response:
        """GET /jobs: a page of jobs with all their properties, and the next page's address; as lines, all pages."""
        query = request.query(("state", "source", *filters.FILTER, "after", "limit"))
        limit, wanted = parameters.limit(query, default=_PAGE), filters.of_query(query, request.principal)
        page, following = await _page(queries, wanted, query, limit)
        link = [] if following is None else [(b"link", f'<{_next(following)}>; rel="next"'.encode())]
        if NDJSON not in (request.header(b"accept") or ""):
            body = {"jobs": [record_json(each) for each in page], "next": following and _next(following)}
            return Response(200, [JSON, NO_STORE, *link], orjson.dumps(body, option=_UTC))
        if "limit" in query or following is None:
            return Response(200, [LINES, NO_STORE, *link], _lines(page))

        async def pages() -> AsyncGenerator[bytes, None]:
            jobs, rest = page, cast(Mapping[str, str] | None, following)
            while True:
                # An empty part would end the stream.
                if jobs:
                    yield _lines(jobs)
                if rest is None:
                    return
                if not tokens.is_valid(request.principal):
                    raise Unauthenticated("the token is not valid any more")
                try:
                    jobs, rest = await _page(queries, wanted, rest, _PAGE)
                except BossError:
                    raise
                except Exception:
                    problems.unforeseen(request.method, request.path)
                    raise Unavailable("the list cannot go on") from None

        return Response(200, [LINES, NO_STORE], events=pages())

    @requires(Permission.READ)
    async def find(request: Request) -> Response:
        """GET /jobs/{id}: the job with that id and all its properties, in any source and state.

        With `wait` it answers when the job is done, or as it is after so many seconds. For an available job, `why` says
        why no converter has taken it yet.
        """
        wait = parameters.wait(request.query(("wait",)))
        if wait is None and b"prefer" in request.headers:
            wait = parameters.preferred_wait(request.headers[b"prefer"].decode("latin-1"))
        found = await find_reached(request)
        if wait and found.state is not State.DONE:
            request.wait(wait)
            await ends.wait(found.id, wait, request.principal.name)
            if not request.connection.is_valid(request.principal):
                raise Unauthenticated("the token is not valid any more: it ended while the request waited")
            found = await find_reached(request)
        record = record_json(found)
        if found.state is State.AVAILABLE:
            record["why"] = await queries.why_available(found)
        headers = [JSON, NO_STORE, *state_headers(found.state, found.attempt)]
        if wait is not None:
            headers.append((b"preference-applied", b"wait=%d" % wait))
        return Response(200, headers, orjson.dumps(record, option=_UTC))

    return [
        Resource("/job", {"GET": read_tree}),
        Resource("/jobs", {"GET": list_jobs}),
        Resource("/jobs/{id}", {"GET": find}, waiting="GET"),
    ]


async def _page(
    queries: Queries, wanted: JobFilter, query: Mapping[str, str], limit: int
) -> tuple[Sequence[JobRecord], Mapping[str, str] | None]:
    """The page that this query asks for, and the query of the next one, if there is one.

    A query with no more than a state and a source has the greatest id first, as before there was more to ask for.
    """
    if wanted.by_time():
        found = await queries.find_page(wanted, filters.place(query), limit)
        return found.jobs, found.next and {**query, "after": filters.place_text(found.next)}
    after = job.check_id(query["after"]) if "after" in query else None
    page = await queries.list_jobs(wanted.state, wanted.sources, after, limit)
    return page.jobs, {**query, "after": page.jobs[-1].id} if page.more else None


def _next(query: Mapping[str, str]) -> str:
    return filters.address("/jobs", query)


def _lines(page: Sequence[JobRecord]) -> bytes:
    return b"".join(orjson.dumps(record_json(each), option=_UTC | orjson.OPT_APPEND_NEWLINE) for each in page)
