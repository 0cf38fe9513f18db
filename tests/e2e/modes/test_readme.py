"""The code in the README, docs/apps.md and the first plugins runs as written there.

So does the README's first app, and the tree of apps is served as docs/apps.md says.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.client import fetch
from tests.support.harness import PACKAGES, ROOT, Runtime, running, write_app
from tests.support.hosting import curl_command
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin

README = (ROOT / "README.md").read_text("utf-8")
APPS_DOC = (ROOT / "docs/apps.md").read_text("utf-8")
PLUGINS_DOC = (ROOT / "docs/plugins.md").read_text("utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TELLS_WHERE = "import os\ndef fetch(request):\n    from buntime import Response\n"
TELLS_WHERE += "    return Response(os.environ['APP_DIR'])\n"


def blocks(page: str, kind: str) -> list[str]:
    """The contents of all fences of a kind, in order."""
    return [content for fenced, content in FENCE.findall(page) if fenced == kind]


def section(page: str, heading: str) -> str:
    """The text between a heading and the next."""
    return page.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]


def titled_code() -> dict[str, str]:
    """The Python blocks by the bold words that introduce them: `{"WSGI": "from flask …"}`."""
    found = re.finditer(
        r"^\*\*([^*\n]+?)\.?\*\*(?:(?!^\*\*).)*?^```python\n(.*?)^```$", APPS_DOC, re.M | re.S
    )
    return {match[1]: match[2] for match in found}


CODE = titled_code()
NAMES = {
    "A function": "function",
    "Routes": "routes",
    "WSGI": "shop",
    "ASGI": "asgi",
    "WebSocket": "socket",
}
_, PLUGIN = blocks(section(PLUGINS_DOC, "A first plugin"), "python")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of apps, made by the README's commands and from the code in docs/apps.md."""
    folder = tmp_path_factory.mktemp("readme")
    script, is_found, _ = first_app().rpartition("python3 build.py run ../my-apps\n")
    assert is_found
    checkout = folder / "buntime"
    checkout.mkdir()
    subprocess.run(["bash", "-euc", script], cwd=checkout, check=True, timeout=20)
    for title, name in NAMES.items():
        write_app(folder / "my-apps" / name, {"app.py": CODE[title]})
    return folder / "my-apps"


def first_app() -> str:
    return FENCE.findall(section(README, "A first app"))[0][1]


@pytest.fixture(scope="module")
def runtime(root: Path) -> Iterator[Runtime]:
    with running(root, env=PACKAGES) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def http(runtime: Runtime) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=runtime.url, trust_env=False, timeout=20, verify=False) as client:
        yield client


def test_all_code_is_tested() -> None:
    """Each Python block belongs to one of the tests here; the README has none of its own."""
    assert CODE.keys() == NAMES.keys()
    assert sorted(CODE.values()) == sorted(blocks(APPS_DOC, "python"))
    assert blocks(README, "python") == []


def test_first_app(runtime: Runtime) -> None:
    """The first app answers the command beside it with what is shown below the command."""
    shown = FENCE.findall(section(README, "A first app"))[1]
    assert shown[0] == "console"
    command, _, expected = shown[1].partition("\n")
    words = shlex.split(command.removeprefix("$ "))
    assert words[0] == "curl"
    words = [word.replace("http://localhost:8000", runtime.url) for word in words[1:]]
    told = subprocess.run(curl_command(*words), capture_output=True, check=True, text=True)
    assert told.stdout == expected


def test_change_of_the_first_app(root: Path, http: httpx.Client) -> None:
    """Change the file, and the next request is served by the new code."""
    assert http.get("/greet/").text == "Hello, world!\n"
    index = root / "greet" / "index.py"
    index.write_text(index.read_text("utf-8").replace("Hello", "Good morning"), "utf-8")
    try:
        assert http.get("/greet/").text == "Good morning, world!\n"
    finally:
        index.write_text(index.read_text("utf-8").replace("Good morning", "Hello"), "utf-8")


def test_function(http: httpx.Client) -> None:
    """The async function answers with the JSON that it was sent."""
    assert http.post("/function/", json={"a": 1}).json() == {"you sent": {"a": 1}}


def test_routes(http: httpx.Client) -> None:
    """The table has a page, a parameter for GET only, and a rest."""
    assert http.get("/routes/").text == "<h1>Users</h1>"
    assert http.get("/routes/users/7").json() == {"user": "7"}
    assert http.post("/routes/users/7").status_code == 405
    assert http.get("/routes/files/a/b").text == "/files/a/b"


def test_wsgi(http: httpx.Client) -> None:
    """The Flask app makes the link that its comment shows."""
    comment = re.search(r'# ("[^"]+")', CODE["WSGI"])
    assert comment is not None
    assert http.get("/shop/").text == comment[1].strip('"')


def test_asgi(http: httpx.Client) -> None:
    """The FastAPI app converts its parameter."""
    assert http.get("/asgi/items/7").json() == {"item": 7}
    assert http.get("/asgi/items/x").status_code == 422


def test_websocket(runtime: Runtime) -> None:
    """The WebSocket sends back what it gets."""
    with connect(f"ws://127.0.0.1:{runtime.port}/socket/", proxy=None) as ws:
        ws.send("hello")
        assert ws.recv(timeout=10) == "hello"


# The tree of apps


def tree() -> list[tuple[str, list[str]]]:
    """Each line of the tree: `("blog/1.1.0", ["/blog/"])`."""
    lines = FENCE.findall(section(APPS_DOC, "How apps are laid out"))[0][1].splitlines()
    found, parents = [], [""]
    for line in lines[1:]:
        name, *words = line.split()
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth:] = [name.rstrip("/")]
        found.append(("/".join(parents[1:]), [word for word in words if word.startswith("/")]))
    return found


def test_tree(tmp_path: Path) -> None:
    """Each folder of the tree is served under the paths shown beside it."""
    served = [(path, url) for path, urls in tree() for url in urls]
    assert len(served) >= 7
    for path, _ in served:
        write_app(tmp_path / path, {"index.py": TELLS_WHERE})
    with running(tmp_path) as runtime, httpx.Client(trust_env=False, verify=False) as http:
        told = {url: http.get(runtime.url + url).text for _, url in served}
    assert told == {url: str(tmp_path / path) for path, url in served}


def test_plugin(tmp_path: Path) -> None:
    """The plugin passes an app the user's name, and a client cannot forge it."""
    echo = "from buntime import Response\n"
    echo += "def fetch(request): return Response.json(dict(request.headers.items()))\n"
    write_app(tmp_path / "apps" / "echo", {"app.py": echo})
    write_plugin(tmp_path / "plugins", "who", PLUGIN, stage="identity")
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "who", "serving")
        forged = {"X-Forwarded-User": "eve"}
        told = fetch(runtime, "/echo/", headers={**forged, "Cookie": "sid=7"}).json()
        assert (told["x-forwarded-user"], told["x-identity"]) == ("ann", '{"user":"ann"}')
        assert "x-forwarded-user" not in fetch(runtime, "/echo/", headers=forged).json()
