"""What there is: `/job`, the tree with its counts, and `/jobs`, the jobs with all their properties."""

from collections.abc import Sequence

import orjson

from boss.dispatch.ends import Ends
from boss.dispatch.queries import Queries
from boss.errors import NotThere, Unauthenticated
from boss.http import auth, parameters
from boss.http.auth import requires
from boss.http.job_json import record_json, state_headers
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NO_STORE, Response
from boss.http.routes.tree_text import DRAWN_IDS, draw, tree
from boss.model import job
from boss.model.job import JobRecord, State
from boss.model.permissions import Permission

_PAGE = 100
_UTC = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def resources(queries: Queries, ends: Ends) -> Sequence[Resource]:
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
        """GET /jobs: a page of jobs with all their properties, greatest id first, and the next page's address."""
        query = request.query(("state", "source", "after", "limit"))
        state, limit = parameters.state(query), parameters.limit(query, default=_PAGE)
        sources = None if request.principal.sources is None else sorted(request.principal.sources)
        if "source" in query:
            sources = [job.check_source(query["source"])]
            auth.check_source_reached(request.principal, sources[0])
        after = job.check_id(query["after"]) if "after" in query else None
        page = await queries.list_jobs(state, sources, after, limit)
        headers = [JSON, NO_STORE]
        following = None
        if page.more:
            kept = {**query, "after": page.jobs[-1].id}
            following = "/jobs?" + "&".join(f"{name}={value}" for name, value in kept.items())
            headers.append((b"link", f'<{following}>; rel="next"'.encode()))
        body = {"jobs": [record_json(each) for each in page.jobs], "next": following}
        return Response(200, headers, orjson.dumps(body, option=_UTC))

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
