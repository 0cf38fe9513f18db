"""One shop, written with each framework as its users would, served below a base and on a host.

All apps of `apps/` have the same paths, so each test runs against all of them. Three clients take
turns: httpx, requests and curl. A base with a version is the harder one, as frameworks differ in
how they quote the `@`; the two apps that are served in an unusual way have a plain one.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import unescape
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest
import requests

from tests.support.client import fetch
from tests.support.fence import needs_sandbox
from tests.support.harness import PACKAGES, Runtime, running
from tests.support.hosting import curl, curl_command, install

UPLOAD_BYTES = 3 * 1024 * 1024  # more than Django, the most generous, keeps in memory
KEPT = {"ttl": "1h"}


@dataclass(frozen=True)
class Framework:
    """What differs between the apps."""

    source: str
    not_found: str = "Not Found"
    failure: str = "Internal Server Error"
    bad_json: int = 400
    adds_slashes: bool = True  # redirects /folder to /folder/
    knows_bare_base: bool = True  # answers /name as it does /name/
    reads_chunked: bool = True  # accepts a request's body without Content-Length
    stream: str | None = "/stream"


FLASK = Framework("flask")
BOTTLE = Framework("bottle", "Error: 404", adds_slashes=False, reads_chunked=False)
DJANGO = Framework("django", failure="Server Error (500)", reads_chunked=False)
FASTAPI = Framework("fastapi", '{"detail":"Not Found"}', bad_json=422)
STARLETTE = Framework("starlette")
QUART = Framework("quart", knows_bare_base=False)
# Django collects a plain iterator before it sends it as ASGI; an async one is sent piece by piece.
DJANGO_ASGI = Framework(
    "django", failure="Server Error (500)", reads_chunked=False, stream="/stream-async"
)
# asgiref runs all of a WSGI app's requests in one thread, so a second one cannot open the gate.
FLASK_IN_ASGI = Framework("flask", reads_chunked=False, stream=None)

MOUNTS = {
    "flask@1.2.0": FLASK,
    "django@1.2.0": DJANGO,
    "bottle@1.2.0": BOTTLE,
    "fastapi@1.2.0": FASTAPI,
    "starlette@1.2.0": STARLETTE,
    "quart@1.2.0": QUART,
    "django-asgi": DJANGO_ASGI,
    "flask-in-asgi": FLASK_IN_ASGI,
}
# What is put on top of an app: between it and the server stands who reports what either does wrong.
MORE_SOURCES = {
    "flask@1.2.0": "flask_validated",
    "starlette@1.2.0": "asgi_strict",
    "flask-in-asgi": "flask_in_asgi",
}
ENTRYPOINTS = {
    "flask@1.2.0": "checked.py",
    "django@1.2.0": "mysite/wsgi.py",
    "starlette@1.2.0": "asgi.py",
    "django-asgi": "mysite/asgi.py",
    "flask-in-asgi": "asgi.py",
}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=20, verify=False) as client:
        yield client


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory, http: httpx.Client) -> Iterator[Runtime]:
    root = tmp_path_factory.mktemp("apps")
    for label, framework in MOUNTS.items():
        more = [MORE_SOURCES[label]] if label in MORE_SOURCES else []
        manifest = {"entrypoint": ENTRYPOINTS[label]} if label in ENTRYPOINTS else {}
        install(root, label, framework.source, *more, hosts=[host_of(label)], **KEPT, **manifest)
    install(root, "flask-once", "flask", ttl=0)
    install(root, "starlette-once", "starlette", ttl=0)
    with running(root, env={"RUNTIME_ENV": "production", **PACKAGES}) as runtime:
        with ThreadPoolExecutor(4) as threads:  # loads the apps side by side
            list(threads.map(lambda label: http.get(f"{runtime.url}/{label}/"), MOUNTS))
        yield runtime


def host_of(label: str) -> str:
    return label.partition("@")[0] + ".example.com"


class Mount:
    """An app and where it is served."""

    def __init__(self, runtime: Runtime, label: str, http: httpx.Client) -> None:
        self.runtime = runtime
        self.base = f"/{label}"
        self.url = runtime.url + self.base
        self.app, _, version = label.partition("@")
        self.version = version or None
        self.framework = MOUNTS[label]
        self.http = http

    def get(self, path: str) -> httpx.Response:
        return self.http.get(self.url + path)

    def worker(self) -> str:
        return str(self.get("/items/1").json()["worker"])


@pytest.fixture(scope="module", params=MOUNTS)
def mount(request: pytest.FixtureRequest, runtime: Runtime, http: httpx.Client) -> Mount:
    return Mount(runtime, request.param, http)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upload") / "blob.bin"
    path.write_bytes(os.urandom(UPLOAD_BYTES))
    return path


def only(fits: Callable[[Framework], bool]) -> pytest.MarkDecorator:
    """Runs a test with those apps whose framework has the feature."""
    labels = [label for label, framework in MOUNTS.items() if fits(framework)]
    return pytest.mark.parametrize("mount", labels, indirect=True)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Paths and links


def test_routing(mount: Mount) -> None:
    """A path's converter and a repeated query field arrive; a link with a host is the app's own."""
    answer = mount.get("/items/7?a=1&a=2&b=%26").json()
    assert answer["item"] == 7
    assert answer["args"] == [["a", "1"], ["a", "2"], ["b", "&"]]
    assert answer["url"] == mount.url + "/items/7"


def test_links_stay_under_the_base(mount: Mount) -> None:
    """Each link that the framework makes for a page begins with the base and works."""
    page = mount.get("/")
    links = [unescape(link) for link in re.findall(r'href="([^"]+)"', page.text)]
    assert len(links) >= 3
    for link in links:
        url = urljoin(str(page.url), link)
        assert url.startswith(mount.url + "/")
        assert mount.http.get(url).status_code == 200, url


def test_encoded_path(mount: Mount) -> None:
    """Percent-encoded UTF-8 in a path is decoded, once; reverse gives the same path again."""
    answer = mount.get("/greet/Zo%C3%AB%20%26%20co").json()
    assert answer["name"] == "Zoë & co"
    assert httpx.URL(answer["url"]).path == mount.base + "/greet/Zoë & co"
    assert mount.get("/greet/100%2525").json()["name"] == "100%25"


@only(lambda framework: framework.knows_bare_base)
def test_base_without_slash(mount: Mount) -> None:
    """`/name` shows the same page as `/name/`, by the app's own redirect or without one."""
    answer = mount.http.get(mount.url, follow_redirects=True)
    assert answer.status_code == 200
    assert answer.text == mount.get("/").text


def test_at_the_root_of_a_host(mount: Mount) -> None:
    """Links, redirects, added slashes, cookies and sessions have no base there."""
    host = host_of(mount.app)
    origin = f"http://{host}"

    def ask(path: str, method: str = "GET", **fields: str) -> httpx.Response:
        url = mount.runtime.url + path
        answer = mount.http.request(method, url, headers={"Host": host, **fields})
        mount.http.cookies.clear()
        return answer

    page = ask("/")
    assert page.status_code == 200
    links = [unescape(link) for link in re.findall(r'href="([^"]+)"', page.text)]
    assert len(links) >= 3
    for link in links:
        found = urlsplit(urljoin(f"{origin}/", link))
        assert found.netloc == host
        assert not found.path.startswith(f"/{mount.app}")
        assert ask(quote(found.path, safe="/%")).status_code == 200, link
    assert ask("/items/7").json()["url"] == f"{origin}/items/7"
    assert urljoin(f"{origin}/old", ask("/old").headers["location"]) == f"{origin}/items/7"
    if mount.framework.adds_slashes:
        moved = ask("/folder?x=1").headers["location"]
        assert urljoin(f"{origin}/folder", moved) == f"{origin}/folder/?x=1"
    cookies = ask("/cookies", "POST").headers.get_list("set-cookie")
    paths = {morsel["path"] for line in cookies for morsel in SimpleCookie(line).values()}
    assert paths <= {"/", ""}  # without a Path, browsers use the folder of the request's path
    session = ask("/visits", "POST").headers["set-cookie"].partition(";")[0]
    assert ask("/visits", "POST", Cookie=session).json() == {"visits": 2}


# Redirects


def test_redirect(mount: Mount) -> None:
    """The Location of a redirect by name is within the app."""
    answer = mount.get("/old")
    assert answer.is_redirect
    assert urljoin(str(answer.url), answer.headers["location"]) == mount.url + "/items/7"


def test_redirect_is_followed(mount: Mount) -> None:
    """Curl ends up at the item."""
    told = curl("-L", "-o", "/dev/null", "-w", "%{url_effective} %{http_code}", mount.url + "/old")
    assert told.decode() == f"{mount.url}/items/7 200"


@only(lambda framework: framework.adds_slashes)
def test_added_slash(mount: Mount) -> None:
    """A slash that a framework adds by itself comes after the base, and the query is kept."""
    answer = mount.get("/folder?x=1")
    assert answer.is_redirect
    assert urljoin(str(answer.url), answer.headers["location"]) == mount.url + "/folder/?x=1"


# Cookies and sessions


def test_cookies_are_set(mount: Mount) -> None:
    """Two Set-Cookie fields stay two, in the app's order, with their attributes."""
    lines = mount.http.post(mount.url + "/cookies").headers.get_list("set-cookie")
    mount.http.cookies.clear()
    taste, shape = (line.lower() for line in lines)
    assert taste.startswith("taste=sweet;")
    assert "max-age=3600" in taste
    assert shape.startswith("shape=round;")
    assert "httponly" in shape
    assert f"path={mount.base}" in shape


def test_cookies_come_back(mount: Mount, session: requests.Session) -> None:
    """Both cookies come back in one field; one is deleted on request, one stays below the base."""
    session.post(mount.url + "/cookies").raise_for_status()
    assert session.get(mount.url + "/cookies").json() == {"taste": "sweet", "shape": "round"}
    session.delete(mount.url + "/cookies").raise_for_status()
    assert session.get(mount.url + "/cookies").json() == {"shape": "round"}
    prepared = session.prepare_request(requests.Request("GET", mount.runtime.url + "/other/"))
    assert "Cookie" not in prepared.headers


def test_session(mount: Mount) -> None:
    """A signed session keeps counting while curl keeps its cookie, and starts again without it."""
    url = mount.url + "/visits"
    told = curl("--cookie", "", "-X", "POST", url, url, url) + curl("-X", "POST", url)
    assert re.findall(rb'{"visits": ?(\d)}', told) == [b"1", b"2", b"3", b"1"]


# Bodies


@pytest.mark.parametrize("encoding", ["urlencoded", "multipart"])
def test_form(mount: Mount, session: requests.Session, encoding: str) -> None:
    """Non-ASCII text and repeated fields arrive, in both encodings of a form."""
    fields = [("name", "Zoë & Söhne"), ("color", "red"), ("color", "blue +")]
    if encoding == "urlencoded":
        answer = session.post(mount.url + "/form", data=fields)
    else:
        files = [(name, (None, value)) for name, value in fields]
        answer = session.post(mount.url + "/form", files=files)
    assert answer.json() == {"name": "Zoë & Söhne", "colors": ["red", "blue +"]}


def test_upload(mount: Mount, session: requests.Session, upload: Path) -> None:
    """A file of 3 MB arrives byte for byte as it was sent."""
    data = upload.read_bytes()
    files = {"file": ("a blob.bin", data, "application/octet-stream")}
    answer = session.post(mount.url + "/upload", files=files, data={"note": "by requests"})
    assert answer.json() == {
        "filename": "a blob.bin",
        "size": UPLOAD_BYTES,
        "sha256": sha256(data),
        "note": "by requests",
    }


def test_upload_by_curl(mount: Mount, upload: Path) -> None:
    """Curl asks before it sends this much, and would not send without the 100 Continue."""
    form = ["-F", f"file=@{upload}", "-F", "note=by curl", "--expect100-timeout", "60"]
    told = curl(*form, "-w", "\n%{size_upload}", mount.url + "/upload").decode()
    assert sha256(upload.read_bytes()) in told
    assert int(told.rpartition("\n")[2]) > UPLOAD_BYTES


@only(lambda framework: framework.reads_chunked)
def test_chunked_request(mount: Mount, upload: Path) -> None:
    """A body of unknown length is read to its end."""
    data = upload.read_bytes()[: 1024 * 1024]
    pieces = (data[at : at + 10_000] for at in range(0, len(data), 10_000))
    answer = mount.http.put(mount.url + "/raw", content=pieces)
    assert answer.text.strip('"') == sha256(data)


def test_json(mount: Mount) -> None:
    """JSON works in both directions."""
    value = {"list": [1, 2.5, None, True], "text": "Zoë \U0001f331", "nested": {"a": {}}}
    assert mount.http.post(mount.url + "/json", json=value).json() == {"got": value}


def test_broken_json(mount: Mount) -> None:
    """Invalid JSON is refused by the framework and crashes nothing."""
    headers = {"content-type": "application/json"}
    answer = mount.http.post(mount.url + "/json", content=b'{"a": ', headers=headers)
    assert answer.status_code == mount.framework.bad_json


# Streams


@only(lambda framework: framework.stream is not None)
def test_stream(mount: Mount) -> None:
    """A piece reaches the client before the app makes the next: that waits for a second request."""
    url = f"{mount.url}{mount.framework.stream}/httpx"
    with mount.http.stream("GET", url) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first\n"
        assert mount.http.post(url).is_success
        assert b"".join(pieces) == b"second\n"


@only(lambda framework: framework.stream is not None)
def test_stream_to_curl(mount: Mount) -> None:
    """The same with curl, which shows each piece as it comes."""
    url = f"{mount.url}{mount.framework.stream}/curl"
    with subprocess.Popen(curl_command("-N", url), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        curl("-X", "POST", url)
        assert process.stdout.read() == b"second\n"
    assert process.returncode == 0


# HEAD and errors


def test_head(mount: Mount) -> None:
    """HEAD gives the length of GET's body without the body, and the connection stays open."""
    url = mount.url + "/items/7"
    told = curl("-I", "-w", "%{num_connects}\n", url, url).decode()
    lengths = re.findall(r"(?im)^content-length: (\d+)\r$", told)
    assert lengths == [str(len(curl(url)))] * 2
    assert re.findall(r"(?m)^\d$", told) == ["1", "0"]


def test_not_found(mount: Mount) -> None:
    """A path that the app does not know gets the framework's 404, not the runtime's."""
    answer = mount.get("/nowhere")
    assert answer.status_code == 404
    assert mount.framework.not_found in answer.text
    assert "requestId" not in answer.text


def test_failure(mount: Mount) -> None:
    """An exception gives the framework's 500, its traceback is logged, and the worker lives on.

    FastAPI and Starlette raise it again after their answer, so the log names the request, too.
    """
    worker = mount.worker()
    answer = mount.get("/fail")
    assert answer.status_code == 500
    assert mount.framework.failure in answer.text
    assert "no such luck" not in answer.text
    error, request_id = "RuntimeError: no such luck", answer.headers["x-request-id"]
    told = {"worker": worker, "app": mount.app, "version": mount.version}
    if mount.app in ("fastapi", "starlette"):
        late = {"error": error, "request_id": request_id}
        mount.runtime.wait_for_record("app.failed_late", **late, **told)
    else:
        mount.runtime.wait_for_line(error, **told)
    record = mount.runtime.wait_for_record("request.access", request_id=request_id)
    assert (record["status"], record["worker"], record["app"]) == (500, worker, mount.app)
    assert mount.worker() == worker


# What only some frameworks have


@pytest.mark.parametrize("label", ["django@1.2.0", "django-asgi"])
def test_django_form(runtime: Runtime, session: requests.Session, label: str) -> None:
    """Django's CSRF protection, its redirect after a post, and its messages work."""
    url = f"{runtime.url}/{label}/guestbook/"
    assert session.post(url, data={"name": "Ada"}).status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', session.get(url).text)
    assert token is not None
    answer = session.post(url, data={"name": "Ada", "csrfmiddlewaretoken": token[1]})
    assert (answer.url, answer.status_code) == (url, 200)
    assert [step.status_code for step in answer.history] == [302]
    assert "<p>Thank you, Ada!</p>" in answer.text


def test_fastapi_documentation(runtime: Runtime, http: httpx.Client) -> None:
    """FastAPI's docs page loads the OpenAPI description below the base, and it names the base."""
    mount = Mount(runtime, "fastapi@1.2.0", http)
    assert f"'{mount.base}/openapi.json'" in mount.get("/docs").text
    assert mount.get("/openapi.json").json()["servers"] == [{"url": mount.base}]


@pytest.mark.parametrize("label", ["flask-once", "starlette-once"])
def test_worker_for_each_request(
    runtime: Runtime, http: httpx.Client, session: requests.Session, upload: Path, label: str
) -> None:
    """With ttl 0 the same app works, in a new worker each time. An ASGI app is started up and shut
    down around its one request."""
    url = f"{runtime.url}/{label}"
    item = http.get(url + "/items/7").json()
    assert item["url"] == url + "/items/7"
    data = upload.read_bytes()
    answer = session.post(url + "/upload", files={"file": ("blob", data)}, data={"note": "once"})
    assert answer.json()["sha256"] == sha256(data)
    request_id = answer.headers["x-request-id"]
    record = runtime.wait_for_record("request.access", request_id=request_id)
    assert record["worker"] != item["worker"]
    if label == "starlette-once":
        for worker in (item["worker"], record["worker"]):
            runtime.wait_for_line("the shop opens", worker=worker)
            runtime.wait_for_line("the shop closes", worker=worker)


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("flask", ("AssertionError", "WSGIWarning", "garbage collected")),
        ("starlette", ("ASGI VIOLATION",)),
    ],
)
def test_validators_found_nothing(runtime: Runtime, app: str, words: tuple[str, ...]) -> None:
    """After all of the above, neither wsgiref.validate nor our ASGI checks had a complaint."""
    of_app = [record for record in tuple(runtime.records) if record.get("app") == app]
    assert any(record["event"] == "request.access" and record["status"] == 200 for record in of_app)
    found = [record for record in of_app if any(word in str(record) for word in words)]
    assert found == []


@needs_sandbox
def test_all_of_it_ran_in_a_sandbox(runtime: Runtime, http: httpx.Client) -> None:
    """The apps of this file have the sandbox that is the default, in each way they are served."""
    for label in MOUNTS:
        assert http.get(f"{runtime.url}/{label}/items/7").status_code == 200
    workers = fetch(runtime, "/api/workers").json()["workers"]
    assert {worker["app"] for worker in workers} >= {label.split("@")[0] for label in MOUNTS}
    assert {worker["sandbox"] for worker in workers if worker["app"]} == {"standard"}
