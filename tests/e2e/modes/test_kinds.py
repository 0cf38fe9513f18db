"""Apps without a framework: fetch and routes, plain and async, and WSGI as PEP 3333 defines it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from tests.support.harness import Runtime, read_all, read_until, running, wait_until
from tests.support.hosting import APPS, curl, install

LEAF = (APPS / "plain" / "leaf.svg").read_bytes()
TABLE = {"entrypoint": "table.py", "ttl": "1h"}
KEPT = {"ttl": "1h"}
# How each is served: the folder and the manifest.
MOUNTS: dict[str, tuple[str, dict[str, object]]] = {
    "fetch@1.2.0": ("plain", KEPT),
    "fetch-async": ("plain_async", KEPT),
    "routes": ("plain", TABLE),
    "routes-async@1.2.0": ("plain_async", TABLE),
}
ONCE = {
    "fetch-once": ("plain", {"ttl": 0}),
    "fetch-async-once": ("plain_async", {"ttl": 0}),
    "routes-once": ("plain", {**TABLE, "ttl": 0}),
    "wsgi-once": ("wsgi_plain", {"ttl": 0}),
}
# What httpx raises for a connection that ends in the middle of a body.
CUT = (httpx.ReadError, httpx.RemoteProtocolError)
TABLES = [label for label in MOUNTS if label.startswith("routes")]


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=20, verify=False) as client:
        yield client


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory, http: httpx.Client) -> Iterator[Runtime]:
    root = tmp_path_factory.mktemp("apps")
    for label, (source, manifest) in {**MOUNTS, **ONCE}.items():
        install(root, label, source, **manifest)
    install(root, "wsgi", "wsgi_plain", **KEPT)
    settings = {"RUNTIME_ENV": "development", "RUNTIME_POOL_SIZE": "20"}
    with running(root, env=settings) as runtime:
        with ThreadPoolExecutor(4) as threads:  # loads the apps side by side
            list(threads.map(lambda label: http.get(f"{runtime.url}/{label}/seen"), MOUNTS))
        yield runtime


class Mount:
    """An app and where it is served."""

    def __init__(self, runtime: Runtime, label: str, http: httpx.Client) -> None:
        self.runtime = runtime
        self.label = label
        self.base = f"/{label}"
        self.url = runtime.url + self.base
        self.app, _, version = label.partition("@")
        self.version = version or None
        self.is_async = "async" in label
        self.http = http

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(self.url + path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.http.post(self.url + path, **more)

    def worker(self) -> str:
        return str(self.get("/seen").json()["worker"])

    def failure(self, answer: httpx.Response) -> dict[str, Any]:
        """The log's record of the request that failed."""
        request_id = answer.headers["x-request-id"]
        record: dict[str, Any] = self.runtime.wait_for_record(
            "app.request_failed", request_id=request_id
        )
        assert (record["app"], record["version"]) == (self.app, self.version)
        return record


@pytest.fixture(scope="module", params=MOUNTS)
def mount(request: pytest.FixtureRequest, runtime: Runtime, http: httpx.Client) -> Mount:
    return Mount(runtime, request.param, http)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Request


def test_target(mount: Mount) -> None:
    """Method, url, path, base and query are those that were sent, decoded once."""
    url = mount.url + "/seen/Zo%C3%AB%20%2B?a=1&b=x+y%26&a=2&empty=&flag"
    seen = mount.http.request("DELETE", url).json()
    assert seen["method"] == "DELETE"
    assert seen["url"] == url
    assert seen["path"] == "/seen/Zoë +"
    assert seen["base"] == mount.base
    assert seen["query"] == [["a", "1"], ["b", "x y&"], ["a", "2"], ["empty", ""], ["flag", ""]]
    assert (seen["scheme"], seen["host"]) == ("http", f"127.0.0.1:{mount.runtime.port}")


def test_headers(mount: Mount) -> None:
    """Repeated fields stay apart and in order; base and request id are among the fields."""
    note = ["-H", "X-Note: one", "-H", "X-Other: z", "-H", "x-note: two", "-H", "Accept;"]
    told = curl(*note, "-i", mount.url + "/seen").decode()
    head, _, body = told.partition("\r\n\r\n")
    seen = json.loads(body)
    pairs = seen["headers"]
    assert [value for name, value in pairs if name == "x-note"] == ["one", "two"]
    assert ["x-other", "z"] in pairs
    assert ["accept", ""] in pairs
    assert ["x-base", mount.base] in pairs
    assert ["x-request-id", seen["id"]] in pairs
    assert f"x-request-id: {seen['id']}\r\n" in head


def test_client(mount: Mount) -> None:
    """The client's address and port are those of its socket."""
    told = curl("-w", " %{local_ip} %{local_port}", mount.url + "/seen").decode()
    body, ip, port = told.rsplit(" ", 2)
    assert json.loads(body)["client"] == [ip, int(port)]


def test_cookies(mount: Mount) -> None:
    """Cookies are decoded into a dict."""
    cookie = {"cookie": 'taste="sweet & sour"; shape=round'}
    assert mount.get("/seen", headers=cookie).json()["cookies"] == {
        "taste": "sweet & sour",
        "shape": "round",
    }


def test_handler_kind(mount: Mount) -> None:
    """A plain handler gets a Request; an async one gets a Request that is read with await."""
    assert mount.get("/seen").json()["class"] == ("AsyncRequest" if mount.is_async else "Request")


@pytest.mark.parametrize("size", [0, 10, 65_536, 65_537, 1_000_000])
def test_bytes(mount: Mount, size: int) -> None:
    """A body of any size arrives whole."""
    body = os.urandom(size)
    answer = mount.post("/bytes", content=body)
    assert answer.content == hashlib.sha256(body).digest()
    assert answer.headers["x-size"] == str(size)


def test_text(mount: Mount) -> None:
    """Text is decoded by the charset it came with, and may be read twice."""
    latin = {"content-type": "text/plain; charset=latin-1"}
    assert mount.post("/text", content=b"Zo\xeb", headers=latin).text == "ZoëZoë"
    assert mount.post("/text", content="Zoë".encode()).text == "ZoëZoë"


def test_json(mount: Mount) -> None:
    """JSON is decoded; invalid JSON gets a 400 that says what is wrong with it."""
    value = {"a": [1, None, "Zoë"]}
    assert mount.post("/json", json=value).json() == {"got": value}
    answer = mount.post("/json", content=b'{"a":')
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["requestId"]) == ("bad_body", answer.headers["x-request-id"])
    assert "not JSON" in error["message"]


def test_urlencoded_form(mount: Mount) -> None:
    """Fields of a form come in order, with repeats."""
    body = b"name=Zo%C3%AB&color=red&color=blue+%2B"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    told = mount.post("/form", content=body, headers=kind).json()
    assert told == [["name", "Zoë"], ["color", "red"], ["color", "blue +"]]


def test_multipart_form(mount: Mount) -> None:
    """Fields and a file of 2 MB arrive as requests sends them."""
    data = os.urandom(2 * 1024 * 1024)
    files = {"blob": ("a blob.bin", data, "application/x-blob"), "leaf": ("leaf.svg", LEAF)}
    with requests.Session() as session:
        session.trust_env = False
        told = session.post(mount.url + "/form", data={"name": "Zoë"}, files=files).json()
    assert told[0] == ["name", "Zoë"]
    assert told[1] == ["blob", "a blob.bin", "application/x-blob", sha256(data)]
    assert told[2][:2] == ["leaf", "leaf.svg"]
    assert told[2][3] == sha256(LEAF)


def test_broken_form(mount: Mount) -> None:
    """A form that does not match its Content-Type gets 400."""
    kind = {"content-type": "multipart/form-data; boundary=x"}
    answer = mount.post("/form", content=b"--x\r\nno form", headers=kind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_body")


def test_stream(mount: Mount) -> None:
    """A body can be read in pieces of bounded size, here one without a length."""
    data = os.urandom(1_000_000)
    answer = mount.post("/stream", content=(data[at : at + 9999] for at in range(0, 10**6, 9999)))
    assert answer.text == sha256(data)
    assert int(answer.headers["x-largest-piece"]) <= 65_536


def test_answer_while_the_body_comes(mount: Mount) -> None:
    """An app may answer a piece of the body before the client sends the next."""
    head = f"POST {mount.base}/shout HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    with mount.runtime.connect() as sock:
        sock.sendall(f"{head}Connection: close\r\n\r\n".encode())
        for word in (b"one", b"two", b"three"):
            sock.sendall(b"%x\r\n%s\r\n" % (len(word), word))
            read_until(sock, b"%x\r\n%s\r\n" % (len(word), word.upper()))
        sock.sendall(b"0\r\n\r\n")
        assert read_all(sock) == b"0\r\n\r\n"


# Response


def test_text_answer(mount: Mount) -> None:
    """Text is UTF-8 and says so, with its length in bytes."""
    answer = mount.get("/answer/text")
    assert (answer.status_code, answer.text) == (200, "Zoë\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-length"] == "5"


def test_bytes_answer(mount: Mount) -> None:
    """Bytes are sent unchanged."""
    answer = mount.get("/answer/octets")
    assert answer.content == b"\x00\xff"
    assert answer.headers["content-type"] == "application/octet-stream"


def test_empty_answer(mount: Mount) -> None:
    """A 204 has no body, length or type, and the connection stays open."""
    for _ in range(2):
        answer = mount.get("/answer/nothing")
        assert (answer.status_code, answer.content) == (204, b"")
        assert not {"content-length", "content-type", "transfer-encoding"} & answer.headers.keys()


def test_html_answer(mount: Mount) -> None:
    """A page may have a status other than 200."""
    answer = mount.get("/answer/page")
    assert (answer.status_code, answer.text) == (203, "<p>Zoë</p>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_json_answer(mount: Mount) -> None:
    """JSON may have a status and a header, here one made from the base."""
    answer = mount.get("/answer/json")
    assert (answer.status_code, answer.json()) == (201, {"name": "Zoë"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["location"] == mount.base + "/seen"


def test_redirect(mount: Mount) -> None:
    """A redirect from the base stays in the app and in its version; what it contains is encoded."""
    answer = mount.get("/answer/redirect", follow_redirects=True)
    assert answer.history[0].status_code == 303
    seen = answer.json()
    assert (seen["base"], seen["query"]) == (mount.base, [["from", "Zoë"]])


def test_file(mount: Mount) -> None:
    """A file comes with type, length and validators; HEAD gives the same without the file."""
    answer = mount.get("/answer/file")
    assert answer.content == LEAF
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-length"] == str(len(LEAF))
    assert {"etag", "last-modified"} <= answer.headers.keys()
    head = mount.http.head(mount.url + "/answer/file")
    told = {name: value for name, value in head.headers.items() if name not in CHANGING}
    assert told == {name: answer.headers[name] for name in answer.headers if name not in CHANGING}


CHANGING = {"date", "x-request-id"}


def test_download(mount: Mount, tmp_path: Path) -> None:
    """A file with a name is saved under it, by a client that heeds the header."""
    told = mount.get("/answer/download").headers["content-disposition"]
    assert told.startswith("attachment")
    assert "filename*=UTF-8''Bl%C3%A4tter.svg" in told
    curl("-O", "-J", "--output-dir", str(tmp_path), mount.url + "/answer/download")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [LEAF]


def test_cookies_are_set(mount: Mount) -> None:
    """Each cookie is a field of its own, with its attributes, below the app's base."""
    taste, shape, old = mount.get("/answer/cookies").headers.get_list("set-cookie")
    mount.http.cookies.clear()
    assert taste.split("; ") == [
        "taste=sweet%20sour", f"Path={mount.base}", "Max-Age=60", "HttpOnly", "SameSite=Lax"
    ]  # fmt: skip
    assert {"Secure", "SameSite=Strict", f"Path={mount.base}"} <= set(shape.split("; "))
    assert old.startswith("old=")
    assert {"Max-Age=0", f"Path={mount.base}"} <= set(old.split("; "))


def test_cookie_round_trip(mount: Mount) -> None:
    """A cookie comes back as it was set, if the connection is secure enough for it."""
    with requests.Session() as session:
        session.trust_env = False
        session.get(mount.url + "/answer/cookies").raise_for_status()
        seen = session.get(mount.url + "/seen").json()
    assert seen["cookies"] == {"taste": "sweet%20sour"}  # the other one is for https


def test_repeated_headers(mount: Mount) -> None:
    """Headers of the same name stay separate, and the type is the one that was given."""
    answer = mount.get("/answer/headers")
    assert answer.headers.get_list("x-note") == ["one", "two"]
    assert answer.headers["content-type"] == "text/markdown"


def test_pieces(mount: Mount) -> None:
    """A body may be an iterable or async iterable of text or of any bytes-like object."""
    assert mount.get("/answer/pieces").content == "Zoë".encode() + b"\xff!?"


def test_large_answer(mount: Mount) -> None:
    """A megabyte arrives whole and with its length."""
    answer = mount.get("/answer/large")
    assert answer.content == b"0123456789abcdef" * 65536
    assert answer.headers["content-length"] == "1048576"


def test_streamed_answer(mount: Mount) -> None:
    """A piece reaches the client before the next is made, which waits for a second request."""
    with mount.http.stream("GET", mount.url + "/answer/gated?key=a") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first\n"
        assert mount.post("/answer/gated?key=a").text == "open\n"
        assert b"".join(pieces) == b"second\n"


def test_client_that_leaves(mount: Mount) -> None:
    """A generator is closed before its end when its client leaves."""
    with mount.http.stream("GET", mount.url + "/answer/gated?key=left") as answer:
        assert next(answer.iter_raw()) == b"first\n"
    if not mount.is_async:  # a plain generator notices at its next piece
        mount.post("/answer/gated?key=left")
    wait_until(lambda: "left" in mount.get("/answer/closed").json(), what="the generator's close")


# What goes wrong

MUST_RETURN = "it must return a buntime.Response, such as Response('text'), Response.json(value)"
WRONG = {
    "none": f"returned None; {MUST_RETURN}",
    "text": f"returned a value of type str; {MUST_RETURN}",
    "dict": f"returned a value of type dict; {MUST_RETURN}",
    "tuple": f"returned a value of type tuple; {MUST_RETURN}",
    "type": f"returned a value of type type; {MUST_RETURN}",
    "body": "the body of a Response is str, bytes, an iterable or async iterable of them, or None, "
    "not int; use Response.json",
    "header": "header 'X-Name': the value holds '\\r', which no header can carry",
    "cookie": "cookie 'taste': the value 'sweet & sour' holds characters that no cookie can carry",
    "json": "TypeError: Object of type set is not JSON serializable",
    "raises": "LookupError: no such luck",
    "exits": "SystemExit: not today",
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_return(mount: Mount, what: str) -> None:
    """500 with the request id; the log says what came and what is allowed; the worker lives on."""
    worker = mount.worker()
    answer = mount.get("/wrong/" + what)
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert (error["code"], error["requestId"]) == ("app_error", answer.headers["x-request-id"])
    record = mount.failure(answer)
    assert WRONG[what] in record["error"]
    assert (record["path"], record["worker"]) == (f"{mount.base}/wrong/{what}", worker)
    assert mount.worker() == worker


def test_wrong_return_names_the_handler(mount: Mount) -> None:
    """With many handlers, the error says which one it was."""
    error = mount.failure(mount.get("/wrong/none"))["error"]
    label = "routes['/wrong/none']" if mount.label in TABLES else "fetch"
    assert error.startswith(f"TypeError: {label} returned None")


def test_coroutine_instead_of_an_answer(mount: Mount) -> None:
    """The error tells a missing `await` from a missing `async`."""
    answer = mount.get("/wrong/coroutine")
    assert answer.status_code == 500
    error = mount.failure(answer)["error"]
    hint = "await it, to return its result" if mount.is_async else "define it with `async def`"
    assert error.endswith(f"returned a coroutine; {hint}")


@pytest.mark.parametrize("path", ["piece", "first-piece"])
def test_wrong_piece(mount: Mount, path: str) -> None:
    """A body that fails half way is cut off, so that it cannot look complete."""
    with pytest.raises(CUT):
        mount.get("/wrong/" + path)
    record = mount.runtime.wait_for_record("app.request_failed", path=f"{mount.base}/wrong/{path}")
    assert "gave a piece of type int; each piece must be str or bytes" in record["error"]


def test_trace_in_development(mount: Mount) -> None:
    """In development the answer shows the author where it failed, in the app's own code only."""
    error = mount.get("/wrong/raises").json()["error"]
    assert "LookupError: no such luck" in error["stack"]
    assert "views.py" in error["stack"]
    assert "buntime/worker" not in error["stack"]
    page = mount.get("/wrong/raises", headers={"accept": "text/html"})
    assert page.status_code == 500
    assert "LookupError: no such luck" in page.text


# Routes


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest, runtime: Runtime, http: httpx.Client) -> Mount:
    return Mount(runtime, request.param, http)


def test_route_parameters(table: Mount) -> None:
    """Parameters come decoded; an encoded slash does not end them."""
    assert table.get("/users/Zo%C3%AB%2Fa").json()["params"] == {"id": "Zoë/a"}
    assert table.get("/users/7/posts/x").json()["params"] == {"id": "7", "post": "x"}
    assert table.get("/seen/a/b").json()["params"] == {"*": "a/b"}


def test_literal_before_parameter(table: Mount) -> None:
    """The more specific route wins, whatever the order of the table."""
    assert table.get("/users/me").text == "it is you\n"


def test_fixed_response(table: Mount) -> None:
    """A Response in the table answers GET and HEAD again and again."""
    for _ in range(2):
        assert table.get("/").text == "<h1>The table</h1>"
        assert table.get("/leaf").content == LEAF
    assert table.http.head(table.url + "/").headers["content-length"] == "18"


def test_methods(table: Mount) -> None:
    """Each method has its handler, `*` takes the others."""
    told = {
        method: table.http.request(method, table.url + "/methods").status_code
        for method in ("GET", "HEAD", "PUT", "PATCH")
    }
    assert told == {"GET": 200, "HEAD": 200, "PUT": 200, "PATCH": 202}


def test_wrong_method(table: Mount) -> None:
    """A 405 lists the allowed methods, and so does OPTIONS."""
    url = table.url + "/users/1/posts/2"
    answer = table.http.post(url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
    asked = table.http.options(url)
    assert (asked.status_code, asked.headers["allow"]) == (204, answer.headers["allow"])


def test_no_route(table: Mount) -> None:
    """404 with the request id, in the runtime's form."""
    answer = table.get("/nowhere")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "not_found")
    assert error["requestId"] == answer.headers["x-request-id"]


def test_plain_handlers_beside_async_ones(runtime: Runtime, http: httpx.Client) -> None:
    """In an async app a plain function reads without await, and a plain generator is a body."""
    mount = Mount(runtime, "routes-async@1.2.0", http)
    assert mount.get("/plain/pieces").content == "Zoë".encode() + b"\xff!?"
    told = mount.post("/plain/json", json=[1]).json()
    assert told == {"got": [1], "class": "Request"}


def test_forgotten_await(runtime: Runtime, http: httpx.Client) -> None:
    """What an async handler reads without await is a coroutine, and the error says so."""
    mount = Mount(runtime, "routes-async@1.2.0", http)
    record = mount.failure(mount.post("/wrong/forgotten-await", json=1))
    assert "Object of type coroutine is not JSON serializable" in record["error"]


# A worker for each request


@pytest.mark.parametrize("label", [label for label in ONCE if label != "wsgi-once"])
def test_ttl_0(runtime: Runtime, http: httpx.Client, label: str) -> None:
    """With ttl 0 the same app works, in a new worker each time; also when it fails."""
    url = f"{runtime.url}/{label}"
    data = os.urandom(1_000_000)
    answers = [
        http.post(url + "/bytes", content=data),
        http.get(url + "/answer/large"),
        http.get(url + "/wrong/raises"),
    ]
    assert answers[0].content == hashlib.sha256(data).digest()
    assert answers[1].content == b"0123456789abcdef" * 65536
    assert answers[2].status_code == 500
    ids = [answer.headers["x-request-id"] for answer in answers]
    told = [runtime.wait_for_record("request.access", request_id=each) for each in ids]
    assert len({record["worker"] for record in told}) == 3


# WSGI


@pytest.fixture
def wsgi(runtime: Runtime, http: httpx.Client) -> Mount:
    return Mount(runtime, "wsgi", http)


def test_environ(wsgi: Mount) -> None:
    """The environ follows PEP 3333 and CGI: native strings hold the path's decoded bytes."""
    target = "/wsgi/show/Zo%C3%AB%20x?a=%26&b"
    headers = ["-H", "X-Note: one", "-H", "X-Note: two", "-H", "X_Base: evil"]
    told = curl(*headers, "-w", " %{local_port}", wsgi.runtime.url + target).decode()
    body, _, port = told.rpartition(" ")
    environ = json.loads(body)
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/wsgi",
        "PATH_INFO": "/show/Zoë x".encode().decode("latin-1"),
        "QUERY_STRING": "a=%26&b",
        "REQUEST_URI": target,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(wsgi.runtime.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": port,
        "HTTP_HOST": f"127.0.0.1:{wsgi.runtime.port}",
        "HTTP_X_NOTE": "one,two",
        "HTTP_X_BASE": "/wsgi",
        "wsgi.url_scheme": "http",
        "wsgi.version": [1, 0],
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    assert {key: environ.get(key) for key in expected} == expected


def test_wsgi_flags_of_ttl_0(runtime: Runtime, http: httpx.Client) -> None:
    """An app whose worker serves one request sees that in the environ."""
    environ = http.get(f"{runtime.url}/wsgi-once/show").json()
    assert environ["wsgi.run_once"] is True
    assert environ["SCRIPT_NAME"] == "/wsgi-once"


def test_iterable_is_closed(wsgi: Mount) -> None:
    """`close` is called after the last piece, and after a piece that failed."""
    assert wsgi.get("/iterate?whole").text == "one two"
    with pytest.raises(CUT):
        wsgi.get("/break-off?broken")
    wait_until(lambda: {"whole", "broken"} <= set(wsgi.get("/closed").json()), what="both closed")


def test_write(wsgi: Mount) -> None:
    """What the `write` of start_response sends comes before the returned body."""
    assert wsgi.get("/write").text == "one two three"


def test_file_wrapper(wsgi: Mount) -> None:
    """wsgi.file_wrapper makes a body of a file."""
    assert wsgi.get("/file").content == b"0123456789" * 20_000


def test_second_start_response(wsgi: Mount) -> None:
    """With exc_info a second start_response replaces what was not sent yet."""
    answer = wsgi.get("/replace")
    assert (answer.status_code, answer.text) == (503, "sorry")
    assert "x-first" not in answer.headers


def test_input_methods(wsgi: Mount) -> None:
    """wsgi.input has all its methods, and each continues where the last one stopped."""
    told = wsgi.post("/lines", content=b"ab\ncdefg\nhi\njk\nlm").json()
    assert told == ["ab\n", "cde", "fg\n", "hi\n", "jk\n|lm", ""]


def test_wsgi_errors(wsgi: Mount) -> None:
    """What an app writes to wsgi.errors is in the log, with its name."""
    assert wsgi.get("/complain").status_code == 204
    wsgi.runtime.wait_for_line("a complaint", app="wsgi", stream="stderr")
    wsgi.runtime.wait_for_line("and another", app="wsgi", stream="stderr")


def test_wsgi_exceptions(wsgi: Mount) -> None:
    """An exception, and a body without start_response, give 500; the log says which it was."""
    answer = wsgi.get("/raise")
    assert answer.status_code == 500
    assert "LookupError: before start_response" in wsgi.failure(answer)["error"]
    headless = wsgi.get("/headless")
    assert headless.status_code == 500
    assert "before it called start_response()" in wsgi.failure(headless)["error"]


def test_wsgiref_found_nothing(wsgi: Mount) -> None:
    """After all of the above, wsgiref.validate has only the complaints that were provoked."""
    found = [
        record
        for record in tuple(wsgi.runtime.records)
        if record.get("app") in ("wsgi", "wsgi-once")
        and any(word in str(record) for word in ("AssertionError", "WSGIWarning", "garbage"))
    ]
    assert [record for record in found if "start_response()" not in str(record)] == []
