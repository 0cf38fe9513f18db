"""The pages: HTML without scripts, with all text escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from buntime.plugin import Response

if TYPE_CHECKING:
    from collections.abc import Iterable

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --line: #8886; }
html { background: Canvas; color: CanvasText; }
body { margin: 0; display: grid; min-height: 100vh; place-items: center; }
main { width: min(22rem, 100vw - 2rem); padding: 2rem 0; }
h1 { font-size: 1.25rem; margin: 0 0 1rem; }
h2 { font-size: 1rem; margin: 2rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
label { display: block; margin: .75rem 0 .25rem; }
input { box-sizing: border-box; width: 100%; font: inherit; padding: .5rem; border-radius: .25rem;
  border: 1px solid var(--line); }
button, .button { display: block; box-sizing: border-box; width: 100%; margin-top: 1rem;
  padding: .55rem; font: inherit; text-align: center; text-decoration: none; color: #fff;
  background: #1c5fb8; border: 1px solid transparent; border-radius: .25rem; cursor: pointer; }
a.button { color: inherit; background: none; border-color: var(--line); }
a { color: #1c5fb8; }
@media (prefers-color-scheme: dark) { a { color: #8ab8f5; } }
:focus-visible { outline: 2px solid #4c8ff0; outline-offset: 2px; }
.wrong { border-left: 3px solid #c0392b; padding-left: .75rem; }
.quiet { opacity: .75; font-size: .9rem; }
code { overflow-wrap: anywhere; }
ul { padding-left: 1.1rem; }
"""
STYLE_PATH = "/style.css"
_SECURITY = (
    ("cache-control", "no-store"),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
)


def page(
    base: str, title: str, *parts: str, status: int = 200, to: Iterable[str] = (), after: str = ""
) -> Response:
    """A page made of these parts, which are HTML. Its forms may lead to the origins of the URLs
    `to`.

    `after` is a URL to go on to at once.
    """
    origins = {f"{url.scheme}://{url.netloc}" for url in map(urlsplit, to) if url.netloc}
    allowed = " ".join(("'self'", *sorted(origins)))
    refresh = f'<meta http-equiv="refresh" content="0;url={text(after)}">' if after else ""
    body = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}'
        f"<title>{text(title)}</title>"
        f'<link rel="stylesheet" href="{text(base)}{STYLE_PATH}"></head>\n'
        f"<body><main><h1>{text(title)}</h1>\n{''.join(parts)}</main></body></html>\n"
    )
    policy = (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action {allowed}"
    )
    return Response.html(body, status, [*_SECURITY, ("content-security-policy", policy)])


def style() -> Response:
    """The style sheet of all pages."""
    headers = [("cache-control", "max-age=3600")]
    return Response(STYLE, 200, headers, content_type="text/css; charset=utf-8")


def text(value: object) -> str:
    """Text for HTML, also inside an attribute."""
    return html.escape(str(value), quote=True)


def wrong(words: str) -> str:
    """A line that says what was wrong; nothing if there are no words."""
    return f'<p class="wrong" role="alert">{text(words)}</p>\n' if words else ""


def paragraph(words: str, *, quiet: bool = False) -> str:
    """A paragraph of text; a quiet one is smaller."""
    return f"<p{' class=quiet' if quiet else ''}>{text(words)}</p>\n"


def link(url: str, words: str) -> str:
    """A link that looks like a button."""
    return f'<a class="button" href="{text(url)}">{text(words)}</a>\n'


def form(action: str, *fields: str, button: str, **hidden: str) -> str:
    """A form that posts; `hidden` are additional values."""
    kept = "".join(
        f'<input type="hidden" name="{text(name)}" value="{text(value)}">'
        for name, value in hidden.items()
    )
    return (
        f'<form method="post" action="{text(action)}">{kept}{"".join(fields)}'
        f"<button>{text(button)}</button></form>\n"
    )


def field(name: str, label: str, *, key: str = "", **attributes: Any) -> str:
    """A labelled input; attributes with `_` for `-`, True for those without a value.

    `key` is its id, if another field of the page has the same name.
    """
    markup = "".join(
        f" {key.replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not False
    )
    key = key or name
    return f'<label for="{key}">{text(label)}</label><input id="{key}" name="{name}"{markup}>\n'
