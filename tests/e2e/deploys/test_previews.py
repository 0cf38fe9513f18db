"""Previews: opened by a link, beside what serves, and gone after their time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.deploying import AS_ROOT, Operator, app, fault
from tests.support.harness import Runtime, running, wait_until

CODE = """
import os
from buntime import Response

data = os.environ.get("APP_DATA_DIR", "")
with open(os.path.join(data, "seen"), "a") as file:
    file.write(VERSION)

def fetch(request):
    seen = open(os.path.join(data, "seen")).read()
    return Response(f"{VERSION} {seen} {request.headers.get('cookie')} {request.url}")
"""
VERSION = "0.0.0-preview.pr-12"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("state")
    state.chmod(0o711)
    return state


@pytest.fixture(scope="module")
def runtime(apps: Path, state: Path) -> Iterator[Runtime]:
    env = {"RUNTIME_ENV": "production", "RUNTIME_STATE_DIR": str(state), **AS_ROOT}
    with running(apps, env=env) as runtime:
        yield runtime


def visitor(runtime: Runtime) -> httpx.Client:
    return httpx.Client(base_url=runtime.url, trust_env=False, timeout=20, verify=False)


def test_a_preview(operator: Operator, runtime: Runtime, apps: Path) -> None:
    """A preview has a link and data of its own, and is never the default; without the link: 404."""
    first = operator.put("shop", "1.0.0", app("1", code=CODE, data=True))
    assert first.status_code == 201, first.text
    assert operator.said("/shop/").startswith("1 1 ")
    told = operator.put("shop", "1.1.0", app("2", code=CODE, data=True), preview="pr-12", ttl="1h")
    assert told.status_code == 201, told.text
    assert told.json()["version"] == VERSION
    url = told.json()["url"]
    assert f"/shop@{VERSION}/?preview=" in url
    with visitor(runtime) as http:
        assert http.get(f"/shop@{VERSION}/").status_code == 404
        assert http.get(f"/shop@{VERSION}/?preview={'x' * 32}").status_code == 404
        opened = http.get(url.replace("?", "a/b?x=1&"))
        assert opened.status_code == 303
        assert opened.headers["location"] == f"/shop@{VERSION}/a/b?x=1"
        seen = http.get(opened.headers["location"])
        assert seen.text.startswith("2 2 None "), seen.text
        assert "preview=" not in seen.text
        assert http.get("/shop/").text.startswith("1 1 ")
        assert http.get("/shop@*/").text.startswith("1 1 ")
    assert os.readlink(apps / "shop" / "latest") == "1.0.0"
    assert fault(operator.activate("shop", VERSION)) == (409, "version_is_preview")
    assert fault(operator.rollback("shop")) == (409, "nothing_before")


def test_deployed_again(operator: Operator, runtime: Runtime) -> None:
    """Links given out earlier open what was deployed since, also if the content is the same."""
    archives = [app("a", code=CODE, data=True), app("b", code=CODE, data=True)]
    urls = [
        operator.put("again", VERSION, archive).json()["url"]
        for archive in (archives[0], archives[1], archives[1])
    ]
    assert len(set(urls)) == 3
    for url in urls:
        with visitor(runtime) as http:
            answer = http.get(url, follow_redirects=True)
            assert (answer.status_code, answer.text[0]) == (200, "b")


def test_its_time_comes(operator: Operator, apps: Path, state: Path, runtime: Runtime) -> None:
    """When its time is over, its worker, files and data go with it; those of others stay."""
    operator.put("longer", "1.0.0", app("y", code=CODE, data=True), preview="a")
    told = operator.put("brief", "1.0.0", app("x", code=CODE, data=True), preview="a", ttl="1s")
    url = told.json()["url"]
    with visitor(runtime) as http:
        wait_until(lambda: http.get(url, follow_redirects=True).status_code == 404)
    wait_until(lambda: not os.path.lexists(apps / "brief"))
    wait_until(lambda: not [*(apps / ".releases" / "brief").glob("0.0.0*")])
    assert not (state / "data" / "brief@0.0.0-preview.a").exists()
    assert (state / "data" / "longer@0.0.0-preview.a").exists()


def test_refused(operator: Operator) -> None:
    """Names and times that a preview cannot have are refused."""
    assert fault(operator.put("shop", "1.0.0", b"x", preview="a/b")) == (400, "bad_preview_name")
    assert fault(operator.put("shop", "1.0.0", b"x", preview="a", ttl="soon")) == (400, "bad_ttl")
    assert fault(operator.put("shop", "1.0.0", b"x", preview="a", ttl="91d")) == (400, "bad_ttl")
    assert fault(operator.put("shop", "1.0.0", b"x", ttl="1h")) == (400, "bad_ttl")


def test_after_a_restart(tmp_path: Path) -> None:
    """Links still open their previews, those whose time has passed are gone, and the list of
    deploys is complete."""
    (tmp_path / "apps").mkdir()
    state = tmp_path / "state"
    state.mkdir(0o711)
    apps = tmp_path / "apps"
    env = {"RUNTIME_ENV": "production", "RUNTIME_STATE_DIR": str(state), **AS_ROOT}
    with running(apps, env=env) as runtime:
        operator = Operator(runtime)
        with operator.http:
            kept = operator.put("shop", "1.0.0", app("1"), preview="a").json()["url"]
            operator.put("shop", "1.0.0", app("2"), preview="b", ttl="1s")
            before = operator.deploys()
    assert len(before) == 2
    with running(apps, env=env) as runtime, visitor(runtime) as http:
        path = kept.partition("/shop@")[2]
        assert http.get(f"/shop@{path}", follow_redirects=True).status_code == 200
        wait_until(lambda: os.listdir(apps / "shop") == ["0.0.0-preview.a"])
        operator = Operator(runtime)
        with operator.http:
            wait_until(lambda: operator.deploys() == before)


def test_its_hosts(operator: Operator, runtime: Runtime) -> None:
    """A preview has no hosts, whatever its manifest says: they stay with the app that has them, and
    new ones belong to none."""
    taken, new = "www.example.com", "new.example.com"
    assert operator.put("held", "1.0.0", app("1", hosts=[taken])).status_code == 201
    wanted = {"hosts": [taken, new, "*.example.net"]}
    for name in ("held", "fresh"):
        told = operator.put(name, "1.1.0", app("2", **wanted), preview="pr-1", ttl="1h")
        assert told.status_code == 201, told.text
        url = told.json()["url"]
        with visitor(runtime) as http:
            path = url[url.index("/", len("https://")) :]
            assert http.get(path, follow_redirects=True).text.startswith("2 ")  # it is served
            assert http.get("/", headers={"Host": taken}).text.startswith("1 ")
            for host in (new, "a.example.net"):
                assert http.get("/", headers={"Host": host}).status_code == 404
