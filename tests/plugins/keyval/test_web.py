"""The API for operators, without a runtime."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from buntime import AsyncRequest, Response, ServiceError
from buntime.tuples import encode
from keyval.keytext import key_of, text_of
from tests.support.keyvalstore import Kept


class Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self, limit: int) -> bytes:
        piece, self._content = self._content[:limit], self._content[limit:]
        return piece


def ask(
    kept: Kept, method: str, path: str, body: bytes = b"", headers: Any = (), **query: Any
) -> Response:
    target = f"/keyval/api/{path}?{urlencode(query)}"
    source = Body(body) if body else None
    request = AsyncRequest(method, target, "/keyval", headers, body=source, id="r1")
    return asyncio.run(kept.web.answer(request))


def told(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


JSON = [("content-type", "application/json; charset=utf-8")]
BINARY = [("content-type", "application/octet-stream")]
HERE = {"space": "app:shop", "key": '["user", 7]'}
KEYS: dict[str, tuple[Any, ...]] = {
    '["user", 7]': ("user", 7),
    "[1, 1.0, true]": (1, 1.0, True),
    "[9223372036854775807, -Infinity]": (2**63 - 1, float("-inf")),
    '["ä", {"$bytes": "00ff"}]': ("ä", b"\0\xff"),
}


@pytest.mark.parametrize("text", KEYS)
def test_keys_as_text(text: str) -> None:
    """A key can be written by people, and reads back the same, including types."""
    assert key_of(text) == encode(KEYS[text])
    assert text_of(key_of(text)) == text


@pytest.mark.parametrize(
    "text", ["", "7", "[", "[]", "[null]", "[[1]]", '[{"$bytes": "0"}]', '["\\ud800"]', "[NaN]"]
)
def test_no_keys(text: str) -> None:
    """An invalid key is refused as such."""
    with pytest.raises(ServiceError) as caught:
        key_of(text)
    assert caught.value.code == "invalid"


def test_values(kept: Kept) -> None:
    """A value is sent and received as the body; its version is the ETag."""
    put = ask(kept, "PUT", "entry", '{"name": "Ä"}'.encode(), JSON, ttl=60, **HERE)
    assert told(put) == {"version": 1}
    got = ask(kept, "GET", "entry", **HERE)
    assert told(got) == {"name": "Ä"}
    assert got.headers["etag"] == '"1"'
    assert float(got.headers["x-expires"]) == kept.clock.now + 60
    assert kept.client().get(("user", 7)) == {"name": "Ä"}
    ask(kept, "PUT", "entry", b"\0\xff", BINARY, **HERE)
    assert ask(kept, "GET", "entry", **HERE).body == b"\0\xff"
    assert told(ask(kept, "DELETE", "entry", **HERE)) == {"deleted": True}
    assert ask(kept, "GET", "entry", **HERE).status == 404


def test_what_no_text_holds(kept: Kept) -> None:
    """A lone surrogate is sent as a JSON escape."""
    kept.client().set(("user", 7), "\ud800")
    assert ask(kept, "GET", "entry", **HERE).body == b'"\\ud800"'


def test_conditions(kept: Kept) -> None:
    """If-Match and If-None-Match prevent overwriting what others have written."""
    new = [*JSON, ("if-none-match", "*")]
    assert ask(kept, "PUT", "entry", b"1", new, **HERE).status == 200
    assert ask(kept, "PUT", "entry", b"2", new, **HERE).status == 412
    assert ask(kept, "PUT", "entry", b"2", [*JSON, ("if-match", '"1"')], **HERE).status == 200
    assert ask(kept, "DELETE", "entry", b"", [("if-match", '"1"')], **HERE).status == 412
    assert ask(kept, "DELETE", "entry", b"", [("if-match", "x")], **HERE).status == 400


@pytest.mark.parametrize("tag", ["*", "", '"' + "7" * 40 + '"', ", ".join(['"1"', '"2"'] * 5)])
def test_conditions_that_name_no_version(kept: Kept, tag: str) -> None:
    """An If-Match that is not one version is refused, however long: nothing is overwritten."""
    kept.client().set(("user", 7), "kept")
    for method in ("PUT", "DELETE"):
        assert ask(kept, method, "entry", b"2", [*JSON, ("if-match", tag)], **HERE).status == 400
    assert kept.client().get(("user", 7)) == "kept"


def test_entries(kept: Kept) -> None:
    """Entries are listed in pages, by prefix, with the beginning of their values."""
    kv = kept.client()
    for number in range(5):
        kv.set(("n", number), "x" * 1000)
    kv.set(("b",), b"\0" * 1000)
    assert len(told(ask(kept, "GET", "entries", space="app:shop"))["entries"]) == 6
    page = told(ask(kept, "GET", "entries", space="app:shop", prefix='["n"]', limit=3))
    assert page["more"]
    assert [each["key"] for each in page["entries"]] == ['["n", 0]', '["n", 1]', '["n", 2]']
    assert page["entries"][0]["preview"] == '"' + "x" * 199
    after = page["entries"][-1]["key"]
    rest = told(ask(kept, "GET", "entries", space="app:shop", prefix='["n"]', after=after))
    assert [each["key"] for each in rest["entries"]] == ['["n", 3]', '["n", 4]']
    assert not rest["more"]


def test_spaces(kept: Kept) -> None:
    """Each space is listed with its size, and emptied in parts."""
    kv = kept.client()
    for number in range(600):
        kv.set((number,), 1)
    kv.enqueue("jobs", 1)
    [space] = told(ask(kept, "GET", "spaces"))["spaces"]
    assert (space["name"], space["entries"], space["messages"]) == ("app:shop", 600, 1)
    assert told(ask(kept, "DELETE", "spaces", space="app:shop")) == {"more": True}
    assert told(ask(kept, "DELETE", "spaces", space="app:shop")) == {"more": False}
    assert kept.size() == (0, 0, 0)
    assert told(ask(kept, "GET", "spaces"))["spaces"] == []


def test_queues(kept: Kept) -> None:
    """Queues and their messages can be viewed; dead ones can be revived or deleted."""
    here = {"space": "app:shop", "queue": "jobs"}
    ids = [told(ask(kept, "POST", "messages", b'{"a": 1}', JSON, **here))["id"] for _ in range(2)]
    for _ in range(10):
        kept.client().take("jobs", visibility_s=60).nack("broken")
    assert kept.client().take("jobs") is None
    [tally] = told(ask(kept, "GET", "queues", space="app:shop"))["queues"]
    assert tally == {"queue": "jobs", "ready": 0, "later": 0, "dead": 2}
    page = told(ask(kept, "GET", "messages", dead=1, limit=1, **here))
    assert page["more"]
    assert page["messages"][0]["reason"] == "broken"
    rest = told(ask(kept, "GET", "messages", dead=1, after=ids[0], **here))
    assert [each["id"] for each in rest["messages"]] == [ids[1]]
    path = "messages/dead"
    assert told(ask(kept, "POST", path, space="app:shop", id=ids[0])) == {"revived": True}
    assert told(ask(kept, "DELETE", path, space="app:shop", id=ids[1])) == {"deleted": True}
    assert [each["id"] for each in told(ask(kept, "GET", "messages", **here))["messages"]] == [
        ids[0]
    ]


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "", {}, 404),
        ("GET", "secrets", {}, 404),
        ("PATCH", "entry", HERE, 405),
        ("GET", "entry", {"space": "app:shop"}, 400),
        ("GET", "entry", {"key": "[1]"}, 400),
        ("GET", "entries", {"space": "app:shop", "limit": "many"}, 400),
        ("GET", "entries", {"space": "app:shop", "limit": "9" * 29}, 400),
        ("GET", "entries", {"space": "app:shop", "prefix": "x"}, 400),
        ("GET", "messages", {"space": "app:shop"}, 400),
        ("POST", "messages/dead", {"space": "app:shop", "id": "-1"}, 400),
        ("PUT", "entry", HERE, 400),
        ("PUT", "entry", {**HERE, "ttl": "nan"}, 400),
        ("PUT", "entry", {**HERE, "ttl": "inf"}, 400),
        ("PUT", "entry", {**HERE, "ttl": "0." + "3" * 40}, 400),
    ],
)
def test_refused(kept: Kept, method: str, path: str, query: dict[str, str], status: int) -> None:
    """A request that cannot be answered gets a JSON error, and changes nothing."""
    answer = ask(kept, method, path, b"{" if "ttl" not in query else b"1", JSON, **query)
    assert answer.status == status
    assert told(answer)["error"]["requestId"] == "r1"
    assert kept.store.spaces() == []


def test_never_a_page(kept: Kept) -> None:
    """An app's value is never served as a page, whatever it contains."""
    kept.client().set(("user", 7), b"<script>alert(1)</script>")
    kept.client().set(("<script>",), "<script>")
    for answer in (ask(kept, "GET", "entry", **HERE), ask(kept, "GET", "spaces")):
        assert answer.headers["content-type"] in ("application/octet-stream", "application/json")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
