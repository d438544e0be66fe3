"""`/openapi.json`, the OpenAPI document of the API, and `/docs`, the same as a page for a browser.

The page is generated from the document, so it works without internet and always agrees with it.
"""

import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Any

from boss.http import html
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, Response
from boss.model.permissions import Permission

# How the page writes a parameter in the query, in the path, and in a header.
_NAME = {"query": "?{}=", "path": "{{{}}}", "header": "{}:"}


def resources(version: str) -> list[Resource]:
    """The resources of the documentation of this version."""
    api = json.loads((files("boss") / "http" / "openapi.json").read_bytes())
    api["info"]["version"] = version
    text, page = json.dumps(api, indent=2, ensure_ascii=False).encode(), _page(api)

    @requires(Permission.PUBLIC)
    async def openapi(request: Request) -> Response:
        """GET /openapi.json: the API as an OpenAPI 3.1 document."""
        return Response(200, [JSON], text)

    @requires(Permission.PUBLIC)
    async def docs(request: Request) -> Response:
        """GET /docs: the same as a page."""
        return Response(200, html.HEADERS, page)

    return [
        Resource("/openapi.json", {"GET": openapi}),
        Resource("/docs", {"GET": docs}),
    ]


def _page(api: dict[str, Any]) -> bytes:
    title, about = escape(api["info"]["title"]), _prose(api["info"]["description"])
    links = "".join(f'<a href="#{_anchor(tag["name"])}">{escape(tag["name"])}</a>' for tag in api["tags"])
    body = "\n".join(_section(api, tag) for tag in api["tags"])
    return html.page(
        title,
        f'<nav id="nav" aria-label="Parts of this page">{links}</nav>',
        f'<h1>{title}</h1><p>{about}</p><p><a href="/openapi.json">As OpenAPI</a></p>\n{body}',
    )


def _anchor(name: str) -> str:
    return escape(name.lower().replace(" ", "-"))


def _section(api: dict[str, Any], tag: dict[str, str]) -> str:
    operations = "\n".join(
        _operation(api, method, path, operation, resource.get("parameters", []))
        for path, resource in api["paths"].items()
        for method, operation in resource.items()
        if method != "parameters" and tag["name"] in operation["tags"]
    )
    head = f'<section id="{_anchor(tag["name"])}"><h2>{escape(tag["name"])}</h2>'
    return f"{head}<p>{_prose(tag['description'])}</p>\n{operations}</section>"


def _operation(
    api: dict[str, Any], method: str, path: str, operation: dict[str, Any], shared: list[dict[str, Any]]
) -> str:
    return (
        f"<article><h3><b>{method.upper()}</b> {escape(path)}</h3><p>{_prose(operation['summary'])}. "
        f"{_prose(operation.get('description', ''))}</p><dl>{''.join(_terms(api, operation, shared))}</dl></article>"
    )


def _terms(api: dict[str, Any], operation: dict[str, Any], shared: list[dict[str, Any]]) -> Iterator[str]:
    for reference in [*shared, *operation.get("parameters", [])]:
        parameter = _resolved(api, reference)
        schema = _resolved(api, parameter["schema"])
        yield _term(
            _NAME[parameter["in"]].format(parameter["name"]), f"{parameter.get('description', '')} {_range(schema)}"
        )
    if "requestBody" in operation:
        yield _term("body", operation["requestBody"]["description"])
    for status, reference in operation["responses"].items():
        yield _term(status, _resolved(api, reference)["description"])


def _range(schema: dict[str, Any]) -> str:
    if "pattern" in schema:
        return f"`{schema['pattern'].strip('^$')}`"
    if "enum" in schema:
        return "One of " + ", ".join(f"`{word}`" for word in schema["enum"])
    if "minimum" in schema:
        return f"From {schema['minimum']:,} to {schema['maximum']:,}."
    return ""


def _resolved(api: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    found: Any = api
    for key in value["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    resolved: dict[str, Any] = found
    return resolved


def _term(name: str, meaning: str) -> str:
    return f"<dt>{escape(name)}</dt><dd>{_prose(meaning)}</dd>"


def _prose(text: str) -> str:
    """Text as HTML, with the words between backticks as code."""
    parts = escape(text.strip(), quote=False).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
