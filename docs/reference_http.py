"""The page of the HTTP API, from openapi.json."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from reference_text import NOTE, cell, table

_METHODS = ("get", "head", "post", "put", "delete")


def http_page(document: dict[str, Any]) -> str:
    """Every request by what it is for, and every schema."""
    page = _Page(document)
    lines = [*NOTE, "# HTTP API", "", document["info"]["description"], ""]
    lines += ["A running Boss has this page at `/docs`, and what it is made from at `/openapi.json`.", ""]
    for tag in document["tags"]:
        lines += [f"## {tag['name']}", "", tag["description"], ""]
        for path, method, operation, shared in page.operations(tag["name"]):
            lines += page.operation(path, method, operation, shared)
    lines += ["## Schemas", "", *page.schemas()]
    return "\n".join(lines)


class _Page:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def operations(self, tag: str) -> Iterator[tuple[str, str, dict[str, Any], list[Any]]]:
        for path, operations in self._document["paths"].items():
            for method in _METHODS:
                if tag in operations.get(method, {}).get("tags", ()):
                    yield path, method, operations[method], operations.get("parameters", [])

    def operation(self, path: str, method: str, operation: dict[str, Any], shared: list[Any]) -> Iterator[str]:
        yield from (f"### {method.upper()} {path}", "", f"{operation['summary']}.", "")
        if "description" in operation:
            yield from (operation["description"], "")
        parameters = [self._resolved(each) for each in [*shared, *operation.get("parameters", [])]]
        # One of an operation's own stands for the path's of the same name.
        named = {(each["name"], each["in"]): each for each in parameters}
        if named:
            rows = [self._parameter(each) for each in named.values()]
            yield from (*table(("parameter", "in", "value", "meaning"), rows), "")
        if "requestBody" in operation:
            body = self._resolved(operation["requestBody"])
            yield from (f"Body: {self._content(body)}. {body.get('description', '')}".strip(), "")
        rows = [self._response(*each) for each in operation["responses"].items()]
        yield from (*table(("status", "meaning", "body", "headers"), rows), "")

    def schemas(self) -> Iterator[str]:
        for name, schema in self._document["components"]["schemas"].items():
            yield from (f"### {name}", "")
            if "description" in schema:
                yield from (schema["description"], "")
            if "properties" not in schema:
                yield from (self._kind(schema, linked=False), "")
                continue
            required = schema.get("required", ())
            rows = [
                (f"`{key}`", "yes" if key in required else "no", self._kind(value), cell(value.get("description")))
                for key, value in schema["properties"].items()
            ]
            yield from (*table(("property", "required", "value", "meaning"), rows), "")

    def _resolved(self, what: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in what:
            return what
        found: Any = self._document
        for step in what["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return dict(found)

    def _parameter(self, parameter: dict[str, Any]) -> tuple[str, str, str, str]:
        schema = parameter["schema"]
        meaning = parameter.get("description", "")
        if "default" in schema:
            meaning += f" Default: {schema['default']}."
        return f"`{parameter['name']}`", parameter["in"], self._kind(schema), cell(meaning)

    def _response(self, status: str, response: dict[str, Any]) -> tuple[str, str, str, str]:
        response = self._resolved(response)
        headers = ", ".join(f"`{name}`" for name in response.get("headers", {}))
        words = f"{status} {_phrase(int(status))}" if status.isdigit() else status
        return words, cell(response["description"]), self._content(response), headers

    def _content(self, holder: dict[str, Any]) -> str:
        return "; ".join(
            f"`{kind}`: {self._kind(content['schema'])}" if "schema" in content else f"`{kind}`"
            for kind, content in holder.get("content", {}).items()
        )

    def _kind(self, schema: dict[str, Any], linked: bool = True) -> str:
        """What a value is, in a few words."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            return f"[{name}](#{name.lower()})" if linked else f"`{name}`"
        if "allOf" in schema:
            return " and ".join(self._kind(each) for each in schema["allOf"])
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return " or ".join(self._kind(each) for each in schema[key])
        if "enum" in schema:
            return " or ".join("null" if each is None else f"`{each}`" for each in schema["enum"])
        if "const" in schema:
            return f"`{schema['const']}`"
        return self._typed(schema)

    def _typed(self, schema: dict[str, Any]) -> str:
        types = schema.get("type", "any")
        types = [types] if isinstance(types, str) else types
        words = []
        for each in types:
            if each == "array" and "items" in schema:
                words.append(f"array of {self._kind(schema['items'])}")
            elif each == "object" and "properties" in schema:
                words.append("`{" + ", ".join(schema["properties"]) + "}`")
            else:
                words.append(each)
        return " or ".join([" or ".join(words), *()]) + self._bounds(schema)

    def _bounds(self, schema: dict[str, Any]) -> str:
        least, most = schema.get("minimum"), schema.get("maximum")
        bounds = [f"{word} {limit:,}" for word, limit in (("from", least), ("to", most)) if limit is not None]
        if "pattern" in schema:
            bounds.append(f"`{schema['pattern']}`".replace("|", "\\|"))
        if "format" in schema:
            bounds.append(f"({schema['format']})")
        return "".join(f" {each}" for each in bounds)


def _phrase(status: int) -> str:
    """The words of a status in RFC 9110. Before Python 3.13, that of 413 comes from an older RFC."""
    return "Content Too Large" if status == 413 else HTTPStatus(status).phrase
