"""Names and versions of folders, while the runtime runs and folders come and go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.harness import Runtime, running, wait_until, write_app

# Answers with its folder and its base.
INDEX = """import os

from buntime import Request, Response


def fetch(request: Request) -> Response:
    if request.path == "/where.txt":
        return Response(os.environ["APP_DIR"])
    return Response.json({"base": request.base, "path": request.path})
"""
WITH_CODE = ("shop/2.0.0", "shop@1.10.0", "wiki@1.0.0", "sound", "broken")
SEEN_S = 2.0  # how soon a change of the folders has to be seen


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("versions")
    for name in (
        *("first/shop@1.0.0", "first/shop@1.2.3", "second/shop@1.10.0", "second/shop/2.0.0"),
        "second/shop@3.0.0-rc.1",
        *("first/blog/1.0.0", "first/blog/2.0.0"),
        *("first/plain", "first/plain@1.0.0"),
        *("first/twice@1.0.0", "second/twice@1.0.0", "second/twice@1.1.0"),
        *("first/@acme/wiki", "second/@acme/wiki@1.0.0", "second/@acme/shop@9.0.0"),
        *("first/sound", "first/broken", "first/api", "first/odd@1.2"),
    ):
        make = app if name.endswith(WITH_CODE) else site
        make(root / name)
    (root / "first/blog/latest").symlink_to("1.0.0")
    (root / "first/broken/buntime.yaml").write_text("ttl: 60\ntimout: 3\n", "utf-8")
    (root / "first/empty").mkdir()
    write_app(root / "first/faulty", {"index.py": "import no_such_module\n"})
    return root


def app(folder: Path) -> Path:
    return write_app(folder, {"index.py": INDEX}, ttl=60, timeout=10)


def site(folder: Path) -> Path:
    """One without code, which needs no worker: the folder is chosen before its kind is known."""
    return write_app(folder, {"index.html": "<p>a site", "where.txt": str(folder)})


@pytest.fixture(scope="module")
def runtime(root: Path) -> Iterator[Runtime]:
    settings = {"RUNTIME_ENV": "production"}
    with running(root / "first", root / "second", env=settings) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def http(runtime: Runtime) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=runtime.url, trust_env=False, timeout=20, verify=False) as client:
        yield client


def folder(root: Path, http: httpx.Client, path: str) -> str:
    """Which folder answers below a path, relative to `root`."""
    answer = http.get(f"{path}where.txt")
    assert answer.status_code == 200, answer.text
    return str(Path(answer.text).relative_to(root))


# Which version


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("shop", "second/shop/2.0.0"),
        ("shop@latest", "second/shop/2.0.0"),
        ("shop@*", "second/shop/2.0.0"),
        ("shop@2", "second/shop/2.0.0"),
        ("shop@1", "second/shop@1.10.0"),
        ("shop@1.x", "second/shop@1.10.0"),
        ("shop@^1.0.0", "second/shop@1.10.0"),
        ("shop@%5E1.0.0", "second/shop@1.10.0"),
        ("shop@%3E=1.2%20%3C1.5", "first/shop@1.2.3"),
        ("shop@~1.2.0", "first/shop@1.2.3"),
        ("shop@1.2", "first/shop@1.2.3"),
        ("shop@1.0.0", "first/shop@1.0.0"),
        ("shop@3.0.0-rc.1", "second/shop@3.0.0-rc.1"),
        ("blog", "first/blog/1.0.0"),  # where the link `latest` points
        ("blog@latest", "first/blog/1.0.0"),
        ("blog@2", "first/blog/2.0.0"),
        ("blog@1", "first/blog/1.0.0"),
        ("plain", "first/plain"),
        ("plain@1", "first/plain@1.0.0"),
        ("@acme/wiki", "first/@acme/wiki"),
        ("@acme/wiki@1", "second/@acme/wiki@1.0.0"),
        ("@acme/shop", "second/@acme/shop@9.0.0"),
        ("@acme/shop@^9.0.0", "second/@acme/shop@9.0.0"),
    ],
)
def test_chosen_folder(root: Path, http: httpx.Client, named: str, expected: str) -> None:
    """Folders of all directories make one app, and a range picks the highest version that fits."""
    assert folder(root, http, f"/{named}/") == expected


@pytest.mark.parametrize("named", ["shop", "shop@1", "shop@%5E1.0.0", "@acme/wiki@1"])
def test_base(http: httpx.Client, named: str) -> None:
    """The base is what the client wrote, so that links keep the version it asked for."""
    answer = http.get(f"/{named}/cart/1").json()
    assert (answer["base"], answer["path"]) == (f"/{named}", "/cart/1")


@pytest.mark.parametrize(
    "named",
    ["nowhere", "shop@4", "shop@3", "shop@", "shop@one", "SHOP", "@acme", "@acme/none", "wiki"],
)
def test_unknown(http: httpx.Client, named: str) -> None:
    """404 with the request id: as JSON for programs, as a page for people."""
    answer = http.get(f"/{named}/")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "app_not_found")
    assert error["requestId"] == answer.headers["x-request-id"]
    page = http.get(f"/{named}/", headers={"accept": "text/html,*/*;q=0.8"})
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["x-request-id"] in page.text


def test_same_version_twice(root: Path, runtime: Runtime, http: httpx.Client) -> None:
    """The first directory wins, with a warning that names both; other versions are not affected."""
    assert folder(root, http, "/twice@1.0.0/") == "first/twice@1.0.0"
    assert folder(root, http, "/twice@1/") == "second/twice@1.1.0"
    record = runtime.wait_for_record("folder.duplicate", app="twice@1.0.0")
    assert record["level"] == "warn"
    assert record["served"] == str(root / "first/twice@1.0.0")
    assert record["ignored"] == str(root / "second/twice@1.0.0")


def test_folders_that_no_request_can_name(runtime: Runtime, root: Path) -> None:
    """A folder named like a path of the runtime, or with half a version, gives a warning."""
    runtime.wait_for_record("folder.reserved")
    runtime.wait_for_record("folder.bad_version")
    skipped = {
        record["folder"]: record["event"]
        for record in tuple(runtime.records)
        if record["event"] in ("folder.reserved", "folder.bad_version", "folder.unroutable")
    }
    assert skipped.keys() == {str(root / "first/api"), str(root / "first/odd@1.2")}
    assert skipped[str(root / "first/api")] == "folder.reserved"
    assert skipped[str(root / "first/odd@1.2")] == "folder.bad_version"


# Folders that come and go


def becomes(http: httpx.Client, wanted: dict[str, int | Path]) -> None:
    """Wait until each path has this status, or is answered by this folder; fails if it is late."""

    def is_so() -> bool:
        for path, expected in wanted.items():
            answer = http.get(f"{path}where.txt")
            found = Path(answer.text) if isinstance(expected, Path) else answer.status_code
            if found != expected:
                return False
        return True

    wait_until(is_so, SEEN_S, f"{wanted}")


def test_new_and_removed_apps(root: Path, http: httpx.Client) -> None:
    """New folders are served within two seconds, and removed ones are 404 as soon."""
    layouts = {
        "/a/": "a",
        "/b/": "b@1.0.0",
        "/c/": "c/1.0.0",
        "/@new/d/": "@new/d",
        "/site/": "site",
    }
    assert {http.get(path).status_code for path in layouts} == {404}
    for name in layouts.values():
        (app if name == "a" else site)(root / "first" / name)
    becomes(http, dict.fromkeys(layouts, 200))
    assert folder(root, http, "/c@1/") == "first/c/1.0.0"
    for name in ("a", "b@1.0.0", "c", "@new", "site"):
        shutil.rmtree(root / "first" / name)
    becomes(http, dict.fromkeys(layouts, 404))


def test_new_version(root: Path, http: httpx.Client) -> None:
    """A higher version takes over the name, and gives it back when it is removed."""
    old = site(root / "first/grows@1.0.0")
    becomes(http, {"/grows/": 200})
    new = site(root / "second/grows@2.0.0")
    becomes(http, {"/grows/": new, "/grows@1/": old})
    shutil.rmtree(new)
    becomes(http, {"/grows/": old, "/grows@2/": 404})


# Faulty folders


def test_broken_manifest(root: Path, runtime: Runtime, http: httpx.Client) -> None:
    """500 with the request id for this app only; the log names file, key and what is allowed."""
    answer = http.get("/broken/")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "app_misconfigured")
    assert error["requestId"] == answer.headers["x-request-id"]
    assert "timout" not in answer.text, "what is wrong is not the client's business"
    assert http.get("/sound/").status_code == 200
    record = runtime.wait_for_record("app.invalid", path="/broken/")
    for word in (str(root / "first/broken/buntime.yaml"), "timout", "timeout"):
        assert word in record["error"]


def test_mended_manifest(root: Path, http: httpx.Client) -> None:
    """A broken manifest takes only its own app down, and a repaired one brings it back."""
    manifest = root / "first/broken/buntime.yaml"
    faulty = manifest.read_text("utf-8")
    manifest.write_text("ttl: 60\ntimeout: 3\n", "utf-8")
    becomes(http, {"/broken/": 200})
    manifest.write_text(faulty, "utf-8")
    becomes(http, {"/broken/": 500})
    assert http.get("/sound/").status_code == 200


def test_folder_without_app(runtime: Runtime, http: httpx.Client) -> None:
    """For an empty folder, the log says which files were looked for."""
    assert http.get("/empty/").status_code == 500
    record = runtime.wait_for_record("app.invalid", path="/empty/")
    for name in ("index.html", "index.py", "app.py", "main.py", "wsgi.py", "asgi.py"):
        assert name in record["error"]


def test_app_that_cannot_be_loaded(runtime: Runtime, http: httpx.Client) -> None:
    """A failed import is 500 for this app only; the log has the traceback, the answer does not."""
    answer = http.get("/faulty/")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "app_boot_failed")
    assert error["requestId"] == answer.headers["x-request-id"]
    assert "no_such_module" not in answer.text
    record = runtime.wait_for_record("app.boot_failed", app="faulty")
    assert "No module named 'no_such_module'" in record["error"]
    assert 'index.py", line 1' in record["stack"]
    assert http.get("/sound/").status_code == 200
