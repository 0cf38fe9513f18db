"""Verdicts: what a worker sends is checked first, and then changes a request's head."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.access.paths import plain_path
from buntime.core.http1.head import Head
from buntime.core.plugins.rerouting import AppChoice
from buntime.core.plugins.vary import Source, values_of
from buntime.core.plugins.verdict import (
    FIELDS_MAX_CHARS,
    PASS,
    BadVerdict,
    Change,
    Continue,
    Done,
    Failed,
    Question,
    Respond,
    Verdict,
    applied,
    has_room,
    read_verdict,
)

ROUTE = Question("on_request", "route")
IDENTITY = Question("on_request", "identity")
CONTENT = Question("on_request", "content")
SEEN = Change(200, (("content-length", "5"), ("content-type", "text/plain")))
RESPONSE = Question("on_response", seen=SEEN)


def read(question: Question = CONTENT, action: str = "continue", **said: Any) -> Verdict:
    return read_verdict({"type": "VERDICT", "id": 7, "action": action, **said}, question)


def go_on(question: Question = CONTENT, **said: Any) -> Continue:
    verdict = read(question, **said)
    assert isinstance(verdict, Continue)
    return verdict


def fault(question: Question = CONTENT, action: str = "continue", **said: Any) -> str:
    with pytest.raises(BadVerdict) as caught:
        read(question, action, **said)
    return str(caught.value)


def test_nothing_said() -> None:
    """If a hook changes nothing, as most do, nothing is allocated."""
    assert read() is PASS
    assert go_on(headers=None, cacheS=None) == PASS


def test_all_that_a_hook_may_say() -> None:
    """Header names become lower-case, paths are encoded, and times are in seconds."""
    assert go_on(
        headers={"X-User": " ann ", "x-debug": None, "Set-Cookie": "a=1"},
        cacheS=30,
        vary=["Authorization", "cookie:Sid", "client", "authorization"],
        anyPath=True,
        tags=["session:1", "session:1"],
        until=1.7e9,
    ) == Continue(
        changes=(("x-user", "ann"), ("x-debug", None)),
        cookies=("a=1",),
        cache_s=30.0,
        vary=(Source("client", ""), Source("cookie", "Sid"), Source("header", "authorization")),
        any_path=True,
        tags=("session:1",),
        until_s=1.7e9,
    )


def test_stage_route() -> None:
    """Only stage route can change the path, the app and the host."""
    verdict = go_on(ROUTE, path="/café/a b", app="@acme/shop@^1", headers={"Host": "b:80"})
    assert verdict.path == "/caf%C3%A9/a%20b"
    assert verdict.app == AppChoice("@acme/shop", "^1")
    assert verdict.changes == (("host", "b:80"),)


def test_stage_identity() -> None:
    """Only stage identity can set an identity."""
    assert go_on(IDENTITY, identity={"user": "ann"}).identity == {"user": "ann"}


@pytest.mark.parametrize("stage", ["identity", "access", "content"])
def test_stages_that_cannot_send_elsewhere(stage: Any) -> None:
    """After stage route a request's target is fixed, since decisions were based on it."""
    asked = Question("on_request", stage)
    assert fault(asked, path="/x") == f"path can only be set in stage route, not in stage {stage}"
    assert fault(asked, app="x") == f"app can only be set in stage route, not in stage {stage}"
    assert fault(asked, headers={"Host": "b"}) == "header 'host' can only be set in stage route"


@pytest.mark.parametrize("stage", ["route", "access", "content"])
def test_stages_that_cannot_tell_who_asks(stage: Any) -> None:
    """Other stages cannot set an identity."""
    asked = Question("on_request", stage)
    assert (
        fault(asked, identity={}) == f"an identity can only be set in stage identity, not {stage}"
    )


def test_an_identity_is_set_once() -> None:
    """A second plugin cannot replace the identity."""
    asked = IDENTITY._replace(has_identity=True)
    assert fault(asked, identity={"user": "root"}).startswith("an identity has been set already")


@pytest.mark.parametrize(
    "name",
    "Connection Content-Length Transfer-Encoding TE Trailer Upgrade Keep-Alive Expect "
    "Proxy-Authorization X-Identity x_identity X-Forwarded-User x_forwarded_groups "
    "X-Forwarded-For X_Forwarded_Host Forwarded X-Real-IP X-Base x_base X-Request-Id".split(),
)
@pytest.mark.parametrize("value", ["a", None])
def test_headers_that_are_no_hooks(name: str, value: str | None) -> None:
    """Hooks can neither set nor remove fields for framing, identity and the sender."""
    assert fault(headers={name: value}).startswith(f"header {name.lower()!r} ")
    assert fault(ROUTE, headers={name: value})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"headers": []}, "headers a list is not a mapping"),
        ({"headers": {"": "a"}}, "'' is not the name of a header"),
        ({"headers": {"a b": "a"}}, "'a b' is not the name of a header"),
        ({"headers": {"a:": "a"}}, "'a:' is not the name of a header"),
        ({"headers": {"a\n": "a"}}, "is not the name of a header"),
        ({"headers": {"a": "b\r\nc: d"}}, "header 'a' has a value that cannot be sent"),
        ({"headers": {"a": "b\0"}}, "header 'a' has a value that cannot be sent"),
        ({"headers": {"a": "Ā"}}, "header 'a' has a value that cannot be sent"),
        ({"headers": {"a": 5}}, "header 'a' has a value that cannot be sent"),
        ({"headers": {"a": ["b"]}}, "header 'a' has a value that cannot be sent"),
        ({"headers": {"x-a": "1", "X-A": "2"}}, "header 'x-a' is set twice"),
        ({"headers": {"x-a": "1", "x_a": "2"}}, "header 'x_a' is set twice"),
        ({"headers": {f"x{n}": "" for n in range(101)}}, "101 headers are too many; 100 are"),
        ({"headers": {"a": "b" * 70_000}}, "its headers have more than 64 KiB"),
        ({"cacheS": 61}, "cacheS 61 is not a number from 0 to 60"),
        ({"cacheS": -1}, "cacheS -1 is not a number"),
        ({"cacheS": True}, "cacheS true is not a number"),
        ({"cacheS": "5"}, "cacheS '5' is not a number"),
        ({"cacheS": float("nan")}, "cacheS nan is not a number"),
        ({"cacheS": 10**400}, "cacheS a huge number is not a number"),
        ({"until": float("inf")}, "until inf is not a number from 0 to 1e+12"),
        ({"vary": ["a"]}, "vary and anyPath say how a verdict is cached, but cacheS is missing"),
        ({"anyPath": True}, "vary and anyPath say how a verdict is cached"),
        ({"anyPath": 1, "cacheS": 1}, "anyPath 1 is neither true nor false"),
        ({"vary": "a", "cacheS": 1}, "vary 'a' is not a list of at most 16 texts"),
        ({"vary": ["a"] * 17, "cacheS": 1}, "vary a list is not a list of at most 16"),
        ({"vary": [1], "cacheS": 1}, "vary: 1 is not text"),
        ({"vary": ["Cookie:a"], "cacheS": 1}, "vary: 'Cookie:a' is neither a header nor"),
        ({"vary": ["cookie:"], "cacheS": 1}, "vary: 'cookie:' is neither a header nor"),
        ({"tags": "a"}, "tags 'a' is not a list of at most 32 texts"),
        ({"tags": ["a"] * 33}, "tags a list is not a list of at most 32"),
        ({"tags": [""]}, "tags: '' is not text of 1 to 256 characters"),
        ({"tags": ["a" * 257]}, "is not text of 1 to 256 characters"),
        ({"tags": [None]}, "tags: nothing is not text"),
    ],
)
def test_what_is_no_verdict(said: dict[str, Any], reason: str) -> None:
    """Wrong types, sizes and characters are refused with a sentence for the log."""
    message = fault(**said)
    assert reason in message
    assert message.isprintable()


@pytest.mark.parametrize("action", [None, 5, "", "CONTINUE", "change", "done", ["continue"], {}])
def test_actions_that_are_not_on_requests(action: Any) -> None:
    """A hook can only answer with actions of its own kind."""
    assert "is not one of on_request's: continue, respond" in fault(CONTENT, action)


@pytest.mark.parametrize(
    "path",
    [
        "admin",
        "",
        5,
        "/x/../admin",
        "/.",
        "//admin",
        "/a%2f",
        "/a?b",
        "/a#b",
        "/a\\b",
        "/a\nb",
        "/\ud800",
        "/api/workers",
        "/health",
        "/.well-known/x",
        "/_/x",
        "/_",
        "/" + "a" * 5000,
    ],
)
def test_paths_that_lead_astray(path: Any) -> None:
    """A path must not be ambiguous or belong to the runtime."""
    assert fault(ROUTE._replace(api_prefix="/_"), path=path).startswith("path ")


@given(st.text(max_size=30).map(lambda text: "/" + text))
def test_a_path_reads_as_it_was_written(path: str) -> None:
    """An app decodes an accepted path to exactly what the hook wrote."""
    try:
        verdict = go_on(ROUTE, path=path)
    except BadVerdict:
        return
    assert verdict.path is not None
    assert plain_path(verdict.path) == path


@pytest.mark.parametrize(
    "app",
    ["", "/shop", "shop/", "shop/x", "../x", "shop?x", "api", "shop@", "@acme", 5, "é", "a b"],
)
def test_what_is_no_app(app: Any) -> None:
    """An app is named as in a request: by its name and a range of versions."""
    assert fault(ROUTE, app=app).startswith("app ")


def test_an_answer() -> None:
    """An answer keeps the order of its fields, with repeats; unless it is whole, the body
    follows."""
    headers = [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]]
    assert read(CONTENT, "respond", status=401, headers=headers, end=False) == Respond(
        401, (("set-cookie", "a=1"), ("set-cookie", "b=2")), end=False
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"status": 101, "headers": []}, "status 101 is not a number from 200 to 599"),
        ({"status": 600, "headers": []}, "status 600 is not"),
        ({"status": "200", "headers": []}, "status '200' is not"),
        ({"status": True, "headers": []}, "status true is not"),
        ({"headers": []}, "status nothing is not"),
        ({"status": 200}, "headers nothing is not a list of pairs"),
        ({"status": 200, "headers": [["a"]]}, "headers: each is a pair"),
        ({"status": 200, "headers": ["ab"]}, "headers: each is a pair"),
        ({"status": 200, "headers": [["a", "b\n"]]}, "header 'a' has a value that cannot be"),
        ({"status": 200, "headers": [[1, "b"]]}, "1 is not the name of a header"),
        ({"status": 200, "headers": [], "end": 1}, "end 1 is neither true nor false"),
    ],
)
def test_what_is_no_answer(said: dict[str, Any], reason: str) -> None:
    """An answer is checked before any of it is sent."""
    assert reason in fault(CONTENT, "respond", **said)


def test_a_changed_answer() -> None:
    """on_response may change the status and the fields, except those for framing."""
    headers = [["Content-Length", "5"], ["X-A", "b"]]
    assert read(RESPONSE, "change", status=404, headers=headers) == Change(
        404, (("content-length", "5"), ("x-a", "b"))
    )
    assert read(RESPONSE) is PASS


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [["content-length", "6"]],
        [["content-length", "5"], ["Content-Length", "5"]],
        [["content-length", "5"], ["transfer-encoding", "chunked"]],
        [["content-length", "5"], ["connection", "close"]],
    ],
)
def test_framing_of_an_answer(headers: list[list[str]]) -> None:
    """A hook cannot change, repeat or remove the fields that frame an answer."""
    assert "says how the answer is sent" in fault(RESPONSE, "change", status=200, headers=headers)


@pytest.mark.parametrize(
    ("before", "after"), [(200, 204), (204, 200), (200, 205), (304, 200), (101, 200)]
)
def test_a_status_with_and_without_a_body(before: int, after: int) -> None:
    """A new status cannot add a body or remove it."""
    asked = RESPONSE._replace(seen=Change(before, ()))
    assert "one of them has no body" in fault(asked, "change", status=after, headers=[])
    assert read(asked, "change", status=before, headers=[["a", "b"]]) == Change(
        before, (("a", "b"),)
    )


def test_on_response_cannot_change_the_request() -> None:
    """on_response cannot change the request, which the app has already handled."""
    for said in ({"headers": {}}, {"identity": {}}, {"cacheS": 1}, {"path": "/"}):
        assert fault(RESPONSE, **said).startswith("on_response can change the response")


def test_life() -> None:
    """Hooks of the plugin's own lifetime either succeed or fail."""
    assert read(Question("on_shutdown"), "done") == Done()
    assert "is not one of on_shutdown's: done" in fault(Question("on_shutdown"), "continue")


def test_failures() -> None:
    """The text about a failure is bounded, and may be missing or wrong."""
    assert read(CONTENT, "failed", error="boom", traceback="t") == Failed("boom", "t")
    assert read(CONTENT, "failed", error=5) == Failed("no reason was given", "")
    long = read(RESPONSE, "failed", error="e" * 10_000, traceback="t" * 100_000)
    assert isinstance(long, Failed)
    assert (len(long.error), len(long.traceback)) == (2000, 65536)


HEAD = Head(
    "GET",
    "/shop/cart?q=1",
    "1.1",
    headers=(("host", "a"), ("x_user", "root"), ("x-user", "eve"), ("accept", "*/*")),
    host="a",
    fields_bytes=100,
)


def test_applied_headers() -> None:
    """A header that a hook sets replaces all of the same name, in any spelling of the client."""
    head = applied(HEAD, go_on(headers={"X-User": "ann", "Accept": None}))
    assert head.headers == (("host", "a"), ("x-user", "ann"))
    assert (head.target, head.host) == (HEAD.target, "a")
    assert head.fields_bytes > HEAD.fields_bytes


def test_fields_of_several_hooks() -> None:
    """Hooks may fill a request up to a limit together; replacing a field makes room again."""
    head, long = HEAD._replace(headers=(("host", "a"),), fields_bytes=9), "a" * 60_000
    for name in "xy":
        head = applied(head, go_on(headers={name: long}))
    asked = CONTENT._replace(head=head)
    assert "more than 128 KiB" in fault(asked, headers={"z": long})
    again = go_on(asked, headers={"Y": long})
    assert applied(head, again).headers == head.headers
    assert not has_room(HEAD._replace(fields_bytes=FIELDS_MAX_CHARS), (("z", long * 3),))


def test_applied_path() -> None:
    """The query stays."""
    head = applied(HEAD, go_on(ROUTE, path="/a b", headers={"host": "b"}))
    assert head.target == "/a%20b?q=1"
    assert head.host == "b"
    assert dict(head.headers)["host"] == "b"


def test_applied_nothing() -> None:
    """A request that nothing changes stays the same object."""
    assert applied(HEAD, PASS) == HEAD


def test_values_of_sources() -> None:
    """An absent value differs from every value that can be sent; repeats count, in order."""
    sources = go_on(cacheS=1, vary=["x-a", "cookie:sid", "client"]).vary
    fields = (("x-a", "1"), ("cookie", "sid=1; a=2"), ("x-a", "2"), ("cookie", "sid=3"))
    assert values_of(sources, fields, "192.0.2.1") == (("192.0.2.1",), ("1", "3"), ("1", "2"))
    assert values_of(sources, (), "") == (("",), (), ())
    assert values_of(sources, (("x-a", ""), ("cookie", "sid=")), "") == (("",), ("",), ("",))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    "action headers path app identity cacheS vary anyPath tags until status end error".split()
)


@given(
    st.dictionaries(KEYS, ANY),
    st.sampled_from(["continue", "respond", "change", "done", "failed", None]),
    st.sampled_from([ROUTE, IDENTITY, CONTENT, RESPONSE, Question("on_shutdown")]),
)
def test_garbage_is_a_bad_verdict(message: dict[str, Any], action: Any, asked: Question) -> None:
    """Whatever a worker sends is a verdict, or a BadVerdict with one printable line."""
    if action is not None:
        message["action"] = action
    try:
        verdict = read_verdict(json.loads(json.dumps(message)), asked)
    except BadVerdict as exc:
        line = str(exc)
    else:
        line = "fine"
        if isinstance(verdict, Continue):
            head = applied(HEAD, verdict)
            assert all(name == name.lower() for name, _ in head.headers)
    assert line.isprintable()
