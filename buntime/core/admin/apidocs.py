"""The table of routes for people: as Markdown for docs/api.md, and as a page for /api/docs."""

from collections.abc import Iterable, Mapping

from buntime.core.admin.openapi import faults_of
from buntime.core.admin.route import OPEN, Route

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;"
    "color:#222;background:#fff}code{font:13px ui-monospace,monospace}"
    "details{border-top:1px solid #ddd;padding:.4rem 0}summary{cursor:pointer}"
    "summary span{color:#666}dt{margin-top:.4rem}dd{margin-left:1.5rem;color:#444}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}"
    "details{border-color:#444}dd,summary span{color:#aaa}}"
)
# The page may load or run nothing, neither from here nor from elsewhere.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
PAGE_FIELDS = (
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
)


def table(routes: Iterable[Route]) -> str:
    """The rows of docs/api.md."""
    rows = ["| method | path | right | what |", "|---|---|---|---|"]
    for route in _in_order(routes):
        right = "none" if route.verb == OPEN else f"`{route.verb}`"
        rows.append(f"| {route.method} | `{route.path}` | {right} | {route.summary} |")
    return "\n".join(rows) + "\n"


def page(routes: Iterable[Route], *, prefix: str) -> str:
    """A page without scripts. `prefix` goes in front of the API's paths; it is escaped here."""
    parts: list[str] = []
    tag = ""
    for route in _in_order(routes):
        if route.tag != tag:
            tag = route.tag
            parts.append(f"<h2>{tag}</h2>")
        parts.append(_section(route))
    body = "".join(parts)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Buntime API</title>'
        f"<style>{_STYLE}</style><h1>Buntime API</h1>"
        f"<p>Below <code>{escaped(prefix) or '/'}</code>, as "
        f'<a href="{escaped(prefix)}/api/openapi.json">OpenAPI 3.1</a> too. A key goes as '
        "<code>X-API-Key</code> or as <code>Authorization: Bearer</code>. Errors are "
        '<code>{"error": {"code", "message", "requestId"}}</code>.</p>'
        f"{body}</html>\n"
    )


def _section(route: Route) -> str:
    right = "for everybody" if route.verb == OPEN else f"wants {route.verb}"
    terms = [(f"?{each.name}", f"{each.meaning} {_short(each.schema)}") for each in route.params]
    if route.body is not None:
        media = ", ".join(route.body.media)
        terms.append(("body", f"{media} {_short(route.body.schema or {})}"))
    for answer in route.answers:
        shape = answer.items if answer.items is not None else answer.schema or {}
        terms.append((str(answer.status), f"{answer.meaning} {_short(shape)}"))
    faults = ", ".join(map(str, faults_of(route)))
    if faults:
        terms.append(("errors", faults))
    head = f"<code>{route.method} {escaped(route.path)}</code> {escaped(route.summary)}"
    rest = "".join(_term(*each) for each in terms)
    return f"<details><summary>{head} <span>{right}</span></summary><dl>{rest}</dl></details>"


def _term(name: str, meaning: str) -> str:
    return f"<dt><code>{escaped(name)}</code><dd>{escaped(meaning)}"


def _short(schema: Mapping[str, object]) -> str:
    """A schema in brief: "{name, roles, apps?}"."""
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        required = schema.get("required", ())
        names = [
            name if isinstance(required, list | tuple) and name in required else f"{name}?"
            for name in properties
        ]
        return "{" + ", ".join(names) + "}"
    choices = schema.get("enum")
    if isinstance(choices, list | tuple):
        return "(" + ", ".join(map(str, choices)) + ")"
    kind = schema.get("type")
    words = (
        [kind] if isinstance(kind, str) else list(kind) if isinstance(kind, list | tuple) else []
    )
    return f"({' or '.join(map(str, words))})" if words else ""


def _in_order(routes: Iterable[Route]) -> list[Route]:
    return sorted(routes, key=lambda route: (route.tag, route.path, route.method))


def escaped(text: str) -> str:
    """Escape a text for HTML, between tags and in quotes."""
    for char, word in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(char, word)
    return text
