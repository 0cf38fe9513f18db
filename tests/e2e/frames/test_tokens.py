"""What opens a plugin's routes to its page in a frame: preflights, tokens, one-time addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.support.client import Answer
from tests.support.framing import TALK, with_desk
from tests.support.harness import Runtime
from tests.support.operators import ADMIN, Operator, address_of, signed_in

MENUS = [{"title": "Talk", "path": "/"}]
CLOSED = {"menus": MENUS, "visibility": "protected"}
PREFLIGHT = {
    "Origin": "null",
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization, content-type",
    "Sec-Fetch-Site": "cross-site",
}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("tokens")
    pages = {"talk": TALK, "other": TALK, "open": TALK}
    more = {"talk": CLOSED, "other": CLOSED, "open": {"menus": MENUS}}
    with with_desk(folder, pages, more, **ADMIN) as runtime:
        yield runtime


@pytest.fixture
def ann(runtime: Runtime) -> Operator:
    """A signed-in operator."""
    return signed_in(runtime)


@pytest.fixture
def page(runtime: Runtime) -> Operator:
    """A page in a frame: it has no cookie."""
    return Operator(address_of(runtime))


def token_of(operator: Operator, plugin: str = "talk") -> str:
    answer = operator.ask("POST", "/api/frames/tokens", {"plugin": plugin})
    assert answer.status == 200, answer
    assert answer.json()["seconds"] == 300
    return str(answer.json()["token"])


def url_of(operator: Operator, path: str, plugin: str = "talk") -> str:
    answer = operator.ask("POST", "/api/frames/urls", {"plugin": plugin, "path": path})
    assert answer.status == 200, answer
    return str(answer.json()["url"])


def fetch(page: Operator, path: str, token: str = "", method: str = "GET") -> Answer:
    """Asks as frame.fetch does."""
    fields: Mapping[str, str | None] = {
        "Origin": "null",
        "Sec-Fetch-Site": "cross-site",
        "Authorization": f"Bearer {token}" if token else None,
    }
    return page.ask(method, path, None, fields)


def test_files_need_no_sign_in(page: Operator) -> None:
    """The files of a page may be read from any origin, the answers of its code from none."""
    answer = page.ask("GET", "/talk/talk.js", None, {"Origin": "null"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")
    answer = page.ask("GET", "/talk/api/x", None, {"Origin": "null"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, None)


def test_preflight(page: Operator) -> None:
    """A page without an origin may send a token, but no credentials."""
    answer = page.ask("OPTIONS", "/talk/api/x", None, PREFLIGHT)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-credentials"] is None
    assert answer.headers["access-control-allow-headers"] == "Authorization, *"
    for change in (
        {"Origin": "https://evil.example"},
        {"Access-Control-Request-Headers": "content-type"},
        {"Access-Control-Request-Method": None},
    ):
        assert page.ask("OPTIONS", "/talk/api/x", None, {**PREFLIGHT, **change}).status == 401


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_token(ann: Operator, page: Operator, method: str) -> None:
    """A token opens the routes of its plugin, which does not see it."""
    token = token_of(ann)
    answer = fetch(page, "/talk/api/x", token, method)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "*"
    told = answer.json()
    assert told["path"] == "/api/x"
    assert "authorization" not in told["headers"]
    assert token not in str(told)


@pytest.mark.parametrize("plugin", ["other", "open"])
def test_token_of_another_plugin(ann: Operator, page: Operator, plugin: str) -> None:
    """A token opens no other plugin, and the page may read the error."""
    answer = fetch(page, f"/{plugin}/api/x", token_of(ann))
    assert (answer.status, answer.error["code"]) == (401, "frame_token")
    assert answer.headers["access-control-allow-origin"] == "*"


def test_token_opens_nothing_else(ann: Operator, page: Operator) -> None:
    """A token opens neither the API nor the way to more tokens."""
    token = token_of(ann)
    assert fetch(page, "/api/apps", token).status == 401
    assert fetch(page, "/api/frames/tokens", token, "POST").status == 403  # of another site


def test_wrong_token(page: Operator) -> None:
    """A made-up token is 401, at an open plugin too."""
    for path in ("/talk/api/x", "/open/api/x"):
        answer = fetch(page, path, "bf_" + "x" * 43)
        assert (answer.status, answer.error["code"]) == (401, "frame_token")


def test_sign_out(runtime: Runtime, ann: Operator, page: Operator) -> None:
    """A token ends with the session that it was fetched in."""
    token = token_of(ann)
    url = url_of(ann, "/api/x")
    assert fetch(page, "/talk/api/x", token).status == 200
    assert ann.ask("DELETE", "/api/session").status in (200, 204)
    assert fetch(page, "/talk/api/x", token).status == 401
    assert page.ask("GET", url).status == 401


def test_url(ann: Operator, page: Operator) -> None:
    """An address opens one target, once, by GET only; the plugin does not see its ticket."""
    url = url_of(ann, "/api/report.csv?month=11")
    assert page.ask("POST", url).status == 401
    answer = page.ask("GET", url, None, {"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 200
    assert answer.json()["path"] == "/api/report.csv"
    assert "bt_ticket" not in str(answer.json())
    assert page.ask("GET", url).status == 401
    url = url_of(ann, "/api/report.csv?month=11")
    assert page.ask("GET", url.replace("month=11", "month=12")).status == 401
    assert page.ask("GET", url).status == 401  # used up by the attempt elsewhere


def test_url_of_another_place(ann: Operator, page: Operator) -> None:
    """An address opens no other plugin, and none is made for an ambiguous path."""
    url = url_of(ann, "/api/x")
    assert page.ask("GET", url.replace("/talk/", "/other/")).status == 401
    for path in ("/../other/api/x", "api/x", "/a%2f..%2fb", "/a#b", "//x", "/a b"):
        asked = {"plugin": "talk", "path": path}
        assert ann.ask("POST", "/api/frames/urls", asked).status == 400, path


def test_who_may_ask(runtime: Runtime, ann: Operator, page: Operator) -> None:
    """Tokens are for signed-in users, on the shell's own page, and for plugins with a page."""
    asked = {"plugin": "talk"}
    assert page.ask("POST", "/api/frames/tokens", asked).status == 401
    for change in ({"X-Buntime-Csrf": None}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert ann.ask("POST", "/api/frames/tokens", asked, change).status == 403
    for plugin in ("none", "cpanel"):
        assert ann.ask("POST", "/api/frames/tokens", {"plugin": plugin}).status == 404


def menu_of(operator: Operator) -> list[dict[str, object]]:
    answer = operator.ask("GET", "/api/menus")
    assert answer.status == 200, answer
    return list(answer.json())


def test_menus(runtime: Runtime, ann: Operator, page: Operator) -> None:
    """All enabled plugins' entries, by order and title, with icons as images."""
    menu = menu_of(ann)
    assert [entry["plugin"] for entry in menu] == ["open", "other", "talk", "keyval"]
    icon = ann.ask("GET", str(menu[3]["icon"]))
    assert (icon.status, icon.headers["content-type"]) == (200, "image/svg+xml")
    assert "sandbox" in icon.headers.get_all("content-security-policy")[0]
    for query in (
        "plugin=keyval&icon=buntime.yaml",
        "plugin=none&icon=a.svg",
        "plugin=keyval&icon=/",
    ):
        assert ann.ask("GET", f"/api/menus/icon?{query}").status == 404
    assert page.ask("GET", "/api/menus").status == 401


def test_menus_by_rights(runtime: Runtime, ann: Operator) -> None:
    """A key without rights to plugins sees no entries and gets no token; tokens end with keys."""
    operators = {}
    for name, roles in (("reads", ["apps:read"]), ("views", ["viewer"])):
        made = ann.ask("POST", "/api/keys", {"name": name, "roles": roles, "apps": ["*"]})
        assert made.status == 201, made
        operators[name] = signed_in(runtime, made.json()["key"])
    reads, views = operators["reads"], operators["views"]
    assert menu_of(reads) == []
    assert reads.ask("POST", "/api/frames/tokens", {"plugin": "talk"}).status == 403
    assert menu_of(views) == menu_of(ann)
    token = token_of(views)
    assert fetch(views, "/talk/api/x", token).status == 200
    assert ann.ask("DELETE", "/api/keys/views").status in (200, 204)
    assert fetch(views, "/talk/api/x", token).status == 401


def test_menus_are_live(runtime: Runtime, ann: Operator) -> None:
    """The entries of a disabled plugin are gone from the menu."""
    assert ann.ask("POST", "/api/plugins/open/disable").status == 202
    assert "open" not in [entry["plugin"] for entry in menu_of(ann)]
    assert ann.ask("POST", "/api/plugins/open/enable").status == 202
    assert "open" in [entry["plugin"] for entry in menu_of(ann)]
