"""Which requests get the shell, which the page, and what pages may do at the operators' address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import pytest

from tests.support.client import Answer, fetch
from tests.support.framing import TALK, with_desk
from tests.support.harness import Runtime, write_app
from tests.support.operators import ADMIN, Operator, address_of

WINDOW = {"Sec-Fetch-Dest": "document"}
FRAME = {"Sec-Fetch-Dest": "iframe", "Accept": "text/html"}
OLD = {"Accept": "text/html,*/*;q=0.8"}
SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-downloads"
MENUS = [{"title": "Talk", "path": "/"}]
APP = """
from buntime import Response
def fetch(request):
    return Response(f"<title>code {request.path} {request.base}</title>", content_type="text/html")
"""


EVIL = """
from buntime import Response
def fetch(request):
    fields = {"Connection": request.query["names"], "Content-Type": "text/html"}
    return Response("<script>", headers=fields)
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("shell")
    page = {"index.html": "<title>site</title>", "site.js": ""}
    write_app(folder / "apps/site", page, shell=True)
    write_app(folder / "apps/code", {"app.py": APP}, ttl=60, shell=True)
    write_app(folder / "apps/plain", {"index.html": "<title>plain</title>"})
    config = folder / "buntime.config.yaml"
    config.write_text("plugins: {friend: {frame: trusted}}")
    pages = {"talk": TALK, "friend": TALK, "evil": {**TALK, "plugin.py": EVIL}}
    more: dict[str, dict[str, object]] = {
        "talk": {"menus": MENUS, "visibility": "protected"},
        "friend": {"menus": MENUS},
        "evil": {"menus": MENUS},
    }
    env = {"RUNTIME_SHELL": "desk", "RUNTIME_CONFIG": str(config), **ADMIN}
    with with_desk(folder, pages, more, **env) as runtime:
        yield runtime


def title(answer: Answer) -> str:
    found = re.search(r"<title>(.*?)</title>", answer.body.decode())
    return found[1] if found else str(answer.status)


@pytest.mark.parametrize(
    ("path", "fields", "shown"),
    [
        ("/talk/", WINDOW, "desk"),
        ("/talk/queues", WINDOW, "desk"),
        ("/talk/", OLD, "desk"),
        ("/talk/", FRAME, "Talk"),
        ("/talk/", {}, "Talk"),
        ("/talk/talk.js", WINDOW, "200"),
        ("/talk/api/x", WINDOW, "401"),
        ("/talk/report.pdf", WINDOW, "404"),
        ("/site/", WINDOW, "desk"),
        ("/site/", FRAME, "site"),
        ("/code/x", WINDOW, "desk"),
        ("/code/x", FRAME, "code /x /code"),
        ("/plain/", WINDOW, "plain"),
        ("/desk/talk/", WINDOW | OLD, "desk"),
        ("/.well-known/buntime/frame/talk/", WINDOW, "Talk"),
        ("/.well-known/buntime/frame/talk/queues", OLD, "Talk"),
        ("/.well-known/buntime/frame/site/", OLD, "site"),
        ("/.well-known/buntime/frame/code/x", WINDOW, "code /x /code"),
        ("/.well-known/buntime/frame/plain/", WINDOW, "404"),
    ],
)
def test_main_address(runtime: Runtime, path: str, fields: Mapping[str, str], shown: str) -> None:
    """Windows get the shell that RUNTIME_SHELL names, around the pages that are shown in it."""
    answer = fetch(runtime, path, headers=fields)
    assert title(answer) == shown
    depends = "Sec-Fetch-Dest" in answer.headers.get("vary", "")
    is_page = re.fullmatch("/(talk|site|code)/(queues|x)?", path) is not None
    assert depends == is_page
    is_framed = path.startswith("/.well-known")
    assert (answer.headers.get("content-security-policy") == SANDBOX) == is_framed


@pytest.mark.parametrize(
    ("path", "fields", "shown", "is_sandbox"),
    [
        ("/talk/", WINDOW, "Buntime", False),
        ("/talk/queues", OLD, "Buntime", False),
        ("/talk/", FRAME, "Talk", True),
        ("/talk/talk.js", {}, "200", True),
        ("/talk/api/x", WINDOW, "401", True),
        ("/friend/", FRAME, "Talk", False),
        ("/friend/", WINDOW, "Buntime", False),
        ("/cpanel/apps", WINDOW | OLD, "Buntime", False),
        ("/site/", WINDOW, "404", False),
        ("/.well-known/buntime/frame/talk/", WINDOW, "Talk", True),
        ("/.well-known/buntime/frame/friend/", WINDOW, "Talk", True),
        ("/.well-known/buntime/frame/site/", WINDOW, "404", True),
        ("/.well-known/buntime/frame/api/workers", WINDOW, "404", False),
    ],
)
def test_operators_address(
    runtime: Runtime, path: str, fields: Mapping[str, str], shown: str, *, is_sandbox: bool
) -> None:
    """The panel is the shell there, and a plugin's pages are not part of its origin."""
    answer = Operator(address_of(runtime)).ask("GET", path, None, fields)
    assert title(answer) == shown
    said = answer.headers.get_all("content-security-policy") or []
    assert (SANDBOX in said) == is_sandbox
    assert "frame-ancestors 'self'" in said


@pytest.mark.parametrize("prefix", ["", "/.well-known/buntime/frame"])
@pytest.mark.parametrize(
    "name", ["content-security-policy", "Content-Security-Policy, x", "x-content-type-options"]
)
def test_a_page_cannot_take_off_its_sandbox(runtime: Runtime, prefix: str, name: str) -> None:
    """A plugin's Connection names fields of its own answer, not those that keep its page in."""
    operator = Operator(address_of(runtime))
    answer = operator.ask("GET", f"{prefix}/evil/api/x?names={quote(name)}", None, FRAME)
    assert answer.body == b"<script>"
    said = answer.headers.get_all("content-security-policy") or []
    assert SANDBOX in said
    assert "frame-ancestors 'self'" in said
    assert answer.headers["x-content-type-options"] == "nosniff"
