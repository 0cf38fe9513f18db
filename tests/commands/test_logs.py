"""`buntime logs`: what it requests, how it shows lines, and how it reconnects."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from buntime.commands import logs
from buntime.commands.apierrors import ApiError
from buntime.commands.cli import EXIT_USAGE, main
from buntime.commands.client import Api
from buntime.commands.logins import Login
from buntime.commands.targets import remote
from tests.support.scriptedserver import Request, Script, answer, discovered, serving

ACCESS = {
    "seq": 1772368496789001,
    "time": "2026-03-01T12:34:56.789Z",
    "level": "info",
    "event": "request.access",
    "message": "access",
    "request_id": "5f0c1d2e",
    "method": "GET",
    "host": "localhost",
    "path": "/shop/\x1b[2J",
    "app": "shop",
    "version": "1.0.0",
    "worker": "w3",
    "status": 200,
    "bytes": 512,
    "ms": 1.25,
    "client": "127.0.0.1",
}
PRINTED = {
    "seq": 1772368496789002,
    "time": "2026-03-01T12:34:56.790Z",
    "level": "warn",
    "event": "app.output",
    "message": "empty\nERROR forged \x1b[31mred\x1b[0m",
    "app": "shop",
    "version": None,
    "worker": "w3",
    "stream": "stderr",
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_PAUSES_S", (0.0,))
    monkeypatch.setenv("BUNTIME_KEY", "bt_key")


def ndjson(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def run(script: Script, *words: str) -> tuple[int, list[str]]:
    """The exit code, and the targets that were requested."""
    with serving(discovered(script)) as server:
        code = main(["logs", *words, "--to", server.url], mode="checkout")
        return code, [target for _, target in server.asked()]


@pytest.mark.parametrize(
    ("words", "query"),
    [
        ((), ""),
        (("shop",), "app=shop"),
        (("shop@1.2.0",), "app=shop&version=1.2.0"),
        (("@acme/shop@1.2.0",), "app=%40acme%2Fshop&version=1.2.0"),
        (("plugin:audit", "--level", "WARN"), "app=plugin%3Aaudit&level=warn"),
        (("--request", "5f0c", "--since", "15m", "-n", "7"), "request=5f0c&since=15m&limit=7"),
    ],
)
def test_question(words: tuple[str, ...], query: str) -> None:
    """Words and flags become the API's parameters."""
    code, asked = run(lambda _: answer(ndjson(PRINTED), kind="x-ndjson"), *words)
    assert (code, asked) == (0, [f"/api/logs?{query}" if query else "/api/logs"])


@pytest.mark.parametrize(
    ("word", "path"),
    [("shpo", "/api/apps/shpo"), ("@acme/x@1.0.0", "/api/apps/@acme/x"),
     ("plugin:adit", "/api/plugins/adit")],
)  # fmt: skip
def test_who_is_not_there(word: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is an error if there are no lines and no such app either."""
    gone = {"error": {"code": "app_not_found", "message": "there is no such one", "requestId": "r"}}

    def script(asked: Request) -> bytes:
        is_log = asked.target.startswith("/api/logs")
        return answer(b"", kind="x-ndjson") if is_log else answer(gone, 404)

    code, asked = run(script, word)
    assert (code, asked[1:]) == (1, [path])
    assert "buntime: error: " in (told := capsys.readouterr().err)
    assert "there is no such one" in told


def test_following_who_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever follows an app that is not there is told, and gets its lines once there are any."""
    gone = {"error": {"code": "app_not_found", "message": "there is no such one", "requestId": "r"}}
    refused = {"error": {"code": "no_right", "message": "not now", "requestId": "r"}}
    asked_of = itertools.count()

    def script(asked: Request) -> bytes:
        if not asked.target.startswith("/api/logs"):
            return answer(gone, 404)
        first = next(asked_of) == 0
        return answer(ndjson(PRINTED), kind="x-ndjson") if first else answer(refused, 403)

    assert run(script, "-f", "shpo")[0] == 4
    told = capsys.readouterr()
    assert "there is no such one" in told.err
    assert "; its lines are shown once there are any\n" in told.err
    assert "forged" in told.out


def test_whose_log_is_empty() -> None:
    """An app without lines, or one that the key may not look at, is no error."""
    for status in (200, 403):
        refused = {"error": {"code": "no_right", "message": "no", "requestId": "r"}}
        replies = {True: answer(b"", kind="x-ndjson"), False: answer(refused, status)}
        assert run(lambda asked, told=replies: told["/logs" in asked.target], "shop")[0] == 0


@pytest.mark.parametrize(("words", "code"), [(("shop@1.0.0",), 0), (("shop@7",), 1)])
def test_a_version_that_is_not_there(
    words: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A version without lines may have none; one that does not exist is an error."""
    shop = {"app": "shop", "versions": [{"version": "1.0.0"}]}

    def script(asked: Request) -> bytes:
        is_log = asked.target.startswith("/api/logs")
        return answer(b"", kind="x-ndjson") if is_log else answer(shop)

    assert run(script, *words)[0] == code
    told = "buntime: error: shop has no version 7, nor lines of one; see buntime show shop\n"
    assert capsys.readouterr().err == (told if code else "")


@pytest.mark.parametrize(
    "words",
    [
        ("+runtim",),
        ("-f", "+shop"),
        ("shop", "blog"),
        ("shop@",),
        ("--level", "loud"),
        ("-n", "0"),
        ("-n", "x"),
        ("-n", "99999"),
    ],
)
def test_wrong_lines(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong lines are errors before anything is requested."""
    assert run(lambda _: answer(b"", kind="x-ndjson"), *words) == (EXIT_USAGE, [])
    assert "buntime: error: " in capsys.readouterr().err


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines look like those of the log in development. No text of an app can be a command to the
    terminal or a line of its own. Output that is not a terminal has no colours."""
    assert run(lambda _: answer(ndjson(ACCESS, PRINTED), kind="x-ndjson"))[0] == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"[0-9:.]{12} INFO  GET /shop/\\x1b\[2J 200 1.2ms 512B shop@1.0.0 w3 127.0.0.1 5f0c1d2e",
        first,
    )
    assert second[13:] == (
        r"WARN  empty\nERROR forged \x1b[31mred\x1b[0m "
        "app=shop worker=w3 stream=stderr"
    )


def test_colours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal has colours, unless NO_COLOR is set."""
    for no_colour in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_colour)
        logs._printer(True)(PRINTED)
        assert ("\x1b[33m" in capsys.readouterr().out) == (not no_colour)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"event": "request.access"},
        {**ACCESS, "status": "x\x1b"},
        {**ACCESS, "path": 7},
        {"time": "soon\x1b", "level": ["\x1b"], "message": {"a": "\x1b"}, "event": 1},
    ],
)
def test_odd_lines(odd: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever another machine sends becomes a line, without control characters."""
    logs._printer(False)(odd)
    assert capsys.readouterr().out.removesuffix("\n").isprintable()


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the records are printed as they came."""
    run(lambda _: answer(ndjson(ACCESS, PRINTED), kind="x-ndjson"), "--json")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [ACCESS, PRINTED]


def following(script: Script, count: int) -> tuple[list[int], list[str]]:
    """The numbers of the first `count` lines that a follower gets, and the targets it requested."""
    with serving(discovered(script)) as server:
        lines = logs._follow(Api(remote(Login(server.url, "bt_key"))), {"app": "shop"})
        told = [line["seq"] for line in itertools.islice(lines, count)]
        return told, [target for _, target in server.asked()]


def chunked(*lines: object, is_whole: bool) -> bytes:
    body = ndjson(*lines)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked"
    return head + b"\r\n\r\n%x\r\n%b\r\n" % (len(body), body) + (b"0\r\n\r\n" if is_whole else b"")


def replies() -> Iterator[bytes]:
    yield chunked({"seq": 1}, {"seq": 2}, is_whole=True)  # the runtime was stopped
    yield answer(b"<html>", 502)  # a proxy finds no runtime
    yield answer({"error": {"code": "draining", "message": "", "requestId": ""}}, 503)
    yield chunked({"seq": 3}, is_whole=False)  # it was killed
    yield b""
    yield chunked({"seq": 4}, is_whole=True)


def test_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    """However a stream ends, it is requested again, from after the last line."""
    reply = replies()
    told, asked = following(lambda _: next(reply), 4)
    assert told == [1, 2, 3, 4]
    first, *others = asked
    assert first == "/api/logs?app=shop&follow=1"
    places = [2, 2, 2, 3, 3]
    assert others == [f"/api/logs?app=shop&follow=1&cursor={seq}" for seq in places]
    assert capsys.readouterr().err.count("ended the stream; trying again") == 2


def test_refusals() -> None:
    """An error that another try does not change ends it."""
    refused = {"error": {"code": "no_right", "message": "no", "requestId": "r"}}
    with pytest.raises(ApiError, match="no"):
        following(lambda _: answer(refused, 403), 1)
    with serving(lambda _: b"SSH-2.0\r\n") as server, pytest.raises(ApiError):
        next(logs._follow(Api(remote(Login(server.url, "bt_key"))), {}))
