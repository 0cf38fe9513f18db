"""Recycling on an operator's request; and who may not change anything here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.client import Answer, Gates, fetch, workers_of
from tests.support.harness import Runtime, running, wait_until, write_app

APP = (
    Gates.CODE
    + """
def fetch(request):
    if "gate" in request.query:
        pass_through(request.query["gate"])
    return Response(str(os.getpid()))
"""
)


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Gates:
    return Gates()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory, gates: Gates) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    for name in ("shop@1.0.0", "shop@2.0.0", "@acme/shop", "other"):
        write_app(apps / name, {"app.py": APP}, ttl=600, concurrency=4, env=gates.env)
    env = {"RUNTIME_ENV": "production", "RUNTIME_SPARE_WORKERS": "1"}
    with running(apps, env=env) as runtime:
        yield runtime


def post(runtime: Runtime, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    return fetch(runtime, path, method="POST", headers=headers)


def test_a_worker_is_replaced_without_a_gap(runtime: Runtime, gates: Gates) -> None:
    """The old worker finishes its requests, its successor serves, and none waits or fails."""
    pid = fetch(runtime, "/other/").body
    [old] = workers_of(runtime, "other")
    with ThreadPoolExecutor() as threads:
        held = threads.submit(fetch, runtime, "/other/?gate=held")
        wait_until(lambda: workers_of(runtime, "other", inHand=1))
        answer = post(runtime, f"/api/workers/{old['id']}/recycle")
        assert (answer.status, answer.json()) == (202, {"recycled": [old["id"]]})

        def is_replaced() -> bool:
            served = fetch(runtime, "/other/")
            assert served.status == 200
            return served.body != pid

        wait_until(is_replaced)
        gates.open("held")
        assert (held.result().status, held.result().body) == (200, pid)
    wait_until(lambda: not workers_of(runtime, "other", id=old["id"]))
    assert len(workers_of(runtime, "other")) == 1


@pytest.mark.parametrize(
    ("path", "recycled"),
    [
        ("/api/apps/shop/recycle", {"/shop@1/", "/shop@2/"}),
        ("/api/apps/shop@1.0.0/recycle", {"/shop@1/"}),
        ("/api/apps/shop%402.0.0/recycle/", {"/shop@2/"}),
        ("/api/apps/@acme/shop/recycle", {"/@acme/shop/"}),
    ],
)
def test_an_app_is_recycled(runtime: Runtime, path: str, recycled: set[str]) -> None:
    """All workers of an app are replaced, or those of one version, and no others."""
    places = ("/shop@1/", "/shop@2/", "/@acme/shop/")
    before = {place: fetch(runtime, place).body for place in places}
    answer = post(runtime, path)
    assert (answer.status, len(answer.json()["recycled"])) == (202, len(recycled))
    for place in recycled:
        wait_until(lambda place=place: fetch(runtime, place).body != before[place])  # type: ignore[misc]  # ditto
    for place in set(places) - recycled:
        assert fetch(runtime, place).body == before[place]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/workers/w9999/recycle", "worker_not_found"),
        ("/api/workers/x/recycle", "worker_not_found"),
        ("/api/apps/nobody/recycle", "app_not_found"),
        ("/api/apps/shop@3/recycle", "app_not_found"),
        ("/api/apps/shop/x/recycle", "app_not_found"),
        ("/api/apps/../recycle", "app_not_found"),
        ("/api/workers/w1/x/recycle", "not_found"),
        ("/api/recycle", "not_found"),
    ],
)
def test_what_is_not_there_cannot_be_recycled(runtime: Runtime, path: str, code: str) -> None:
    """An unknown worker, app or version is 404."""
    answer = post(runtime, path)
    assert (answer.status, answer.error["code"]) == (404, code)


def test_a_spare_cannot_be_recycled(runtime: Runtime) -> None:
    """A spare has no app yet: it is as fresh as the one that would take its place."""
    wait_until(lambda: workers_of(runtime, None, status="spare"))
    spare = workers_of(runtime, None, status="spare")[0]
    assert post(runtime, f"/api/workers/{spare['id']}/recycle").status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/api/workers/w1/recycle", "/api/apps/shop/recycle"])
def test_recycling_is_done_by_post(runtime: Runtime, path: str, method: str) -> None:
    """Any other method is 405, with what is allowed."""
    answer = fetch(runtime, path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/api/apps/other/recycle", "/api/workers", "/api/x", "/metrics"])
def test_pages_of_other_sites_change_nothing(
    runtime: Runtime, path: str, headers: dict[str, str]
) -> None:
    """A browser's request for another site's page is refused, whatever it asks for."""
    pid = fetch(runtime, "/other/").body
    answer = post(runtime, path, headers)
    assert (answer.status, answer.error["code"]) == (403, "cross_site")
    assert fetch(runtime, "/other/").body == pid
    assert fetch(runtime, "/api/workers", headers=headers).status == 200  # reading is harmless


def test_a_page_of_this_site_may(runtime: Runtime) -> None:
    """A page that the runtime's own host and port serve may do what an operator may."""
    pid = fetch(runtime, "/other/").body
    origin = {"Origin": f"http://127.0.0.1:{runtime.port}", "Sec-Fetch-Site": "same-origin"}
    assert post(runtime, "/api/apps/other/recycle", origin).status == 202
    wait_until(lambda: fetch(runtime, "/other/").body != pid)


@pytest.fixture(scope="module")
def developing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime that opens these pages to this machine, as no key was set."""
    with running(tmp_path_factory.mktemp("none"), env={"RUNTIME_ENV": "development"}) as runtime:
        yield runtime


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8000", "10.0.0.1"])
@pytest.mark.parametrize("path", ["/api/workers", "/metrics", "/api/workers/metrics"])
def test_rebound_names_open_nothing(developing: Runtime, path: str, host: str) -> None:
    """A foreign name that resolves to this machine opens no page of the operator's."""
    runtime = developing
    answer = fetch(runtime, path, headers={"Host": host})
    assert (answer.status, answer.error["code"]) == (403, "forbidden")
    for own in ("localhost", f"localhost:{runtime.port}", "[::1]", "127.0.0.1"):
        assert fetch(runtime, path, headers={"Host": own}).status == 200
    assert fetch(runtime, "/api/health", headers={"Host": host}).status == 200
