"""The API as an OpenAPI 3.1 document, made from the table of routes.

Routes that stream have the tag STREAMS besides their own. The schema of one line or event stands
under `x-items`, because OpenAPI 3.1 has no word for it.
"""

from collections.abc import Iterable
from typing import Any

from buntime.core.admin.kept import INSTEAD
from buntime.core.admin.route import OPEN, Answer, Param, Route, Schema
from buntime.core.apps.router import NAME_MAX
from buntime.core.values.regex import regex

STREAMS = "streams"
_PLACE = regex(r"\{(\w+)\}")
_NAMES: dict[str, tuple[str, str]] = {
    "app": (
        "^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$",
        "An app; one with a scope is two segments: @acme/shop.",
    ),
    "plugin": ("^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$", "A plugin; one with a scope is two segments."),
    "target": (
        "^[A-Za-z0-9_~-][A-Za-z0-9._~-]*(@[0-9A-Za-z.*^~<>=|+ -]+)?$",
        "An app, with or without a version or a range: shop, shop@1.2.0, shop@^1.",
    ),
}
_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "requestId"],
            "properties": {
                "code": {"type": "string", "description": "A stable word for programs."},
                "message": {"type": "string", "description": "A sentence for people."},
                "requestId": {"type": "string"},
            },
        }
    },
}
_FAULTS = {
    400: "The query or the body is not valid; the message says what is wrong.",
    401: "No key, or one that is not valid.",
    403: "The key lacks the right, or a page of another site sent the request.",
    404: "It does not exist.",
    409: "Its present state does not allow this.",
    412: "It has changed meanwhile: its ETag differs from the one in If-Match.",
    413: "The body is too large.",
    429: "Too many wrong keys came from this address; Retry-After says when to try again.",
    503: "Something that this needs is not available now; the message says why.",
}
# Errors that any page that needs a key may answer with.
_OF_KEYS = (400, 401, 403, 429, 503)


def document(routes: Iterable[Route], *, version: str, prefix: str, api_prefix: str) -> Any:
    """The document as JSON. `prefix` goes in front of all paths, `api_prefix` also in front of
    /api."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        item = paths.setdefault(route.path, {})
        if not route.path.startswith("/api"):
            item["servers"] = [{"url": prefix or "/"}]
        item[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Buntime",
            "version": version,
            "description": "The operators' API. Within a major version nothing is removed from it.",
        },
        "servers": [{"url": f"{prefix}{api_prefix}" or "/"}],
        "security": [{"key": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag, *([STREAMS] if route.is_stream else [])],
        "parameters": [*_in_path(route), *map(_in_query, route.params), *_in_header(route)],
        "responses": _responses(route),
    }
    if route.verb == OPEN:
        operation["security"] = []
    else:
        operation["description"] = f"Needs the right `{route.verb}`."
        operation["x-right"] = route.verb
    if route.open_when is not None:
        operation["description"] += f" Open where RUNTIME_{route.open_when[0].upper()} says so."
    if route.body is not None:
        schema = route.body.schema
        content = {"schema": schema if schema is not None else {}}
        operation["requestBody"] = {
            "required": route.body.required,
            "content": dict.fromkeys(route.body.media, content),
        }
    return operation


def _in_path(route: Route) -> Iterable[dict[str, Any]]:
    for name in _PLACE.findall(route.path):
        pattern, meaning = _NAMES.get(name, (None, ""))
        schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": NAME_MAX}
        if pattern is not None:
            schema["pattern"] = pattern
        parameter = {"name": name, "in": "path", "required": True, "schema": schema}
        yield {**parameter, "description": meaning} if meaning else parameter


def _in_query(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": "query",
        "required": param.required,
        "description": param.meaning,
        "schema": param.schema,
    }


def _in_header(route: Route) -> Iterable[dict[str, Any]]:
    if route.is_write and route.has_tag:
        yield {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "The ETag of the resource to change: 412 if it has changed since.",
            "schema": {"type": "string"},
        }


def faults_of(route: Route) -> list[int]:
    """The statuses of errors that a route may answer with."""
    faults = set(route.faults)
    if route.verb != OPEN:
        faults.update(_OF_KEYS)
    elif not route.takes_any_query:
        faults.add(400)
    if "{" in route.path:
        faults.add(404)
    if route.body is not None:
        faults.add(413)
    if route.is_write and route.has_tag:
        faults.add(412)
    if route.name in INSTEAD:
        faults.add(409)
    return sorted(faults)


def _responses(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in route.answers:
        response = _response(answer, has_tag=route.has_tag)
        same = responses.setdefault(str(answer.status), response)
        if same is not response:  # another form of it, chosen by `Accept`
            same["description"] += f" {answer.meaning}"
            same.setdefault("content", {}).update(response.get("content", {}))
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for status in faults_of(route):
        meaning = _FAULTS.get(status, "It failed; the message says why.")
        responses[str(status)] = {"description": meaning, "content": error}
    return responses


def _response(answer: Answer, *, has_tag: bool) -> dict[str, Any]:
    response: dict[str, Any] = {"description": answer.meaning}
    if answer.schema is not None or answer.items is not None:
        content: dict[str, Any] = {"schema": answer.schema if answer.schema is not None else {}}
        if answer.items is not None:
            content["x-items"] = answer.items
        response["content"] = {answer.media: content}
    if has_tag:
        response["headers"] = {"ETag": {"required": False, "schema": {"type": "string"}}}
    return response
