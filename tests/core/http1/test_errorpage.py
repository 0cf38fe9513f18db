"""The runtime's own error answers: JSON for programs, a page for people."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.errors import ClientFault, HttpError, ServerFault
from buntime.core.http1.errorpage import render_error

FAULT = ClientFault(404, "app_not_found", "there is no app /shop")
BROWSER = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"


class Text(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(error: HttpError, accept: str = "") -> tuple[dict[str, str], str]:
    fields, body = render_error(error, "an-id", accept=accept, shows_detail=True)
    return dict(fields), body.decode("utf-8")


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/plain"])
def test_programs_get_json(accept: str) -> None:
    """A client that does not ask for HTML gets code, message and request id as JSON."""
    fields, body = rendered(FAULT, accept)
    assert fields == {"content-type": "application/json"}
    assert json.loads(body) == {
        "error": {
            "code": "app_not_found",
            "message": "there is no app /shop",
            "requestId": "an-id",
        }
    }


@pytest.mark.parametrize("accept", [BROWSER, "TEXT/HTML"])
def test_people_get_a_page(accept: str) -> None:
    """A browser gets a page that says what happened and shows the request id."""
    fields, body = rendered(FAULT, accept)
    assert fields == {"content-type": "text/html; charset=utf-8"}
    text = Text(body).text
    for part in ("404 Not Found", "there is no app /shop", "an-id"):
        assert part in text


def test_further_fields_are_kept() -> None:
    """The error's own fields, such as Retry-After, come with both forms."""
    busy = ServerFault(503, "overloaded", "busy", headers=(("Retry-After", "1"),))
    for accept in ("", BROWSER):
        assert rendered(busy, accept)[0]["Retry-After"] == "1"


@given(st.text(), st.text(), st.sampled_from(["", BROWSER]))
def test_nothing_in_a_message_becomes_markup(message: str, detail: str, accept: str) -> None:
    """Text quoted in a message or a trace never becomes markup: the page has only its own tags."""
    fault = ServerFault(500, "app_error", message, detail=detail)
    _, body = render_error(fault, "an-id", accept=accept, shows_detail=True)
    if not accept:
        assert json.loads(body)["error"]["message"] == message
        return
    tags = Text(body.decode("utf-8")).tags
    own = ["html", "meta", "title", "style", "h1", "p", *["pre"] * bool(detail), "p", "small"]
    assert tags == own


def test_a_trace_is_shown_where_there_is_one() -> None:
    """`detail` is `stack` in the JSON and preformatted on the page, or absent from both."""
    fault = ServerFault(500, "app_error", "failed", detail="Traceback\n  <module>")
    assert json.loads(rendered(fault)[1])["error"]["stack"] == "Traceback\n  <module>"
    assert "<pre>Traceback\n  &lt;module&gt;</pre>" in rendered(fault, BROWSER)[1]
    assert "stack" not in json.loads(rendered(FAULT)[1])["error"]
    assert "<pre>" not in rendered(FAULT, BROWSER)[1]


def test_a_status_without_a_name_has_a_page() -> None:
    """A status that Python does not know still gets a page, titled as an error."""
    assert "599 Error" in rendered(HttpError(599, "odd", "odd"), BROWSER)[1]


@pytest.mark.parametrize("accept", ["", BROWSER])
def test_a_hint_is_for_the_author(accept: str) -> None:
    """A hint on what to do appears in development only, in both forms."""
    fault = ServerFault(502, "worker_died", "it died", hint="buntime show <shop>")
    _, shown = rendered(fault, accept)
    _, hidden = render_error(fault, "an-id", accept=accept, shows_detail=False)
    said = Text(shown).text if accept else json.loads(shown)["error"]["hint"]
    assert "buntime show <shop>" in said
    assert b"buntime show" not in hidden
