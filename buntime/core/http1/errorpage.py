"""The runtime's own error answers: JSON, or a page for people."""

import json

from buntime.core.errors import HttpError
from buntime.core.http1.answer import phrase_of

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{status} {phrase}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:4rem auto;max-width:44rem;padding:0 1rem}}\
small{{color:#666}}pre{{overflow:auto;background:#f4f4f4;padding:1rem}}</style>
<h1>{status} {phrase}</h1><p>{message}</p>{hint}{detail}\
<p><small>Request {request_id}</small></p></html>
"""


def render_error(
    error: HttpError, request_id: str, *, accept: str, shows_detail: bool, hint: str = ""
) -> tuple[list[tuple[str, str]], bytes]:
    """The fields and body of an error's answer; HTML where `accept` names text/html.

    `shows_detail` adds the trace and the hint, which are only for the app's author; `hint` replaces
    the error's own. JSON: {"error":
    {"code": "app_not_found", "message": "...", "requestId": "..."}}, where they are called "stack"
    and "hint".
    """
    fields = list(error.headers)
    trace, hint = (error.detail, hint or error.hint) if shows_detail else ("", "")
    if "text/html" in accept.lower():
        from html import escape  # loads the table of all entities, a quarter of a bare start

        detail = f"<pre>{escape(trace)}</pre>" if trace else ""
        page = _PAGE.format(
            status=error.status,
            phrase=phrase_of(error.status) or "Error",
            message=escape(error.message),
            hint=f"<p>{escape(hint)}</p>" if hint else "",
            detail=detail,
            request_id=escape(request_id),
        )
        fields.append(("content-type", "text/html; charset=utf-8"))
        return fields, page.encode("utf-8", "backslashreplace")
    details = {"code": error.code, "message": error.message, "requestId": request_id}
    if hint:
        details["hint"] = hint
    if trace:
        details["stack"] = trace
    fields.append(("content-type", "application/json"))
    return fields, json.dumps({"error": details}).encode("ascii")
