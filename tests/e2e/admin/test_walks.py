"""Walks the table of the API's routes against one runtime: what a dry run changes, which is
nothing, and where values of secrets appear, which is nowhere.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from buntime.core.admin.apitags import tag_of
from tests.support.deploying import AS_ROOT
from tests.support.harness import OPERATORS_KEY, Runtime, running, wait_until
from tests.support.writewalk import (
    KNOWN,
    READS,
    SECRET,
    WRITES,
    Walker,
    files_of,
    in_order,
    rows_of,
    shop,
    write_folders,
)

# Streams that need not end, and answers with an app's own files.
NOT_READ = frozenset(("logs.list", "deploys.archive", "session.open", "menus.icon"))

KEPT_IN = frozenset(("secrets", "plugin-options.json"))  # these hold the values


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def runtime(root: Path) -> Iterator[Runtime]:
    with running(root / "apps", env={**write_folders(root), **AS_ROOT}) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def walker(runtime: Runtime) -> Iterator[Walker]:
    walker = Walker(runtime.url, OPERATORS_KEY)
    with walker.http:
        walker.furnish()
        yield walker


def test_dry_runs_change_nothing(root: Path, runtime: Runtime, walker: Walker) -> None:
    """Each write is answered as usual, but no file and no row of the state changes, and no change
    is logged."""
    wait_until(lambda: len(rows_of(root / "state")["audit"]) >= 5)
    # The API lists a job at once; its row is written with the next batch.
    wait_until(lambda: rows_of(root / "state")["cron_jobs"], 20, "its job is kept")
    wait_until(lambda: is_tidy(root / "apps"), 40, "what was removed is gone")
    wait_until(lambda: is_tidy(root / "plugins"), 40, "what was removed is gone")
    files, rows, told = files_of(root), rows_of(root / "state"), changes(runtime)
    for route in WRITES:
        answer = walker.ask(walker.asked(route), dryRun=1)
        assert answer.status_code < 300, f"{route.name}: {answer.text}"
    # When this is in the log, everything before is too.
    assert walker.http.get("/api/none").status_code == 404
    assert files_of(root) == files
    assert rows_of(root / "state") == rows
    assert changes(runtime) == told


def is_tidy(folder: Path) -> bool:
    """Whether all releases below are ones that links lead to: others are removed meanwhile."""
    linked = {str(path.resolve()) for path in folder.rglob("*") if path.is_symlink()}
    files = [*(folder / ".releases").glob("*/[0-9]*")]
    return {str(path).removesuffix(".json").removesuffix(".files") for path in files} <= linked


def test_lists_come_in_pages(runtime: Runtime, walker: Walker) -> None:
    """Each list has `limit` and `cursor`: one by one, the entries are the same as all at once."""
    lists = [route for route in READS if {"limit", "cursor"} <= {each.name for each in route.query}]
    assert len(lists) >= 10
    for route in lists:
        if route.name in ("logs.list", "audit.list", "deploys.list"):
            continue  # other cursors: see their own tests, and below
        path = walker.asked(route).path
        entries_of = entries(walker, path, limit=1000)[0]
        found, cursor = [], ""
        for _ in range(len(entries_of)):
            page, cursor = entries(walker, path, limit=1, **({"cursor": cursor} if cursor else {}))
            found += page
        assert [*map(identity, found)] == [*map(identity, entries_of)], route.name
        assert cursor is None or not entries_of, route.name
    whole = entries(walker, "/api/deploys")[0]
    first, cursor = entries(walker, "/api/deploys", limit=1)
    assert (first, cursor) == (whole[:1], whole[0]["id"])
    assert entries(walker, "/api/deploys", cursor=cursor) == (whole[1:], None)
    assert entries(walker, "/api/deploys", cursor="1-1") == ([], None)
    assert walker.http.get("/api/deploys?cursor=x").json()["error"]["code"] == "bad_query"


def entries(walker: Walker, path: str, **query: Any) -> tuple[list[dict[str, Any]], Any]:
    answer = walker.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return next(each for each in told.values() if isinstance(each, list)), told["next"]


def identity(entry: dict[str, Any]) -> str:
    """The name of an entry; the rest may change between two reads."""
    return "{app}{name}{id}".format_map(defaultdict(str, entry))


def changes(runtime: Runtime) -> list[str]:
    return [str(each) for each in runtime.records if each["event"].startswith("audit.")]


def test_no_value_comes_to_light(root: Path, runtime: Runtime, walker: Walker) -> None:
    """After every possible write: values of secrets, variables, passwords and keys are in no
    answer, not in the audit trail or elsewhere in the state, and in no log."""
    told = []
    for route in in_order(WRITES):
        answer = walker.ask(walker.asked(route))
        assert answer.status_code < 300, f"{route.name}: {answer.text}"
        told.append((route.name, answer.text))
    path = "/api/apps/shop/secrets/TOKEN"
    for wrong in (
        *({"value": [SECRET]}, {"valeu": SECRET}, {"value": f"{SECRET}\0"}),
        *(SECRET, {SECRET: 1}, {"value": 1, SECRET: 1}),
    ):
        answer = walker.http.put(path, json=wrong)
        assert answer.status_code == 400
        told.append((f"{wrong!r} refused", answer.text))
    (key,) = [found for name, text in told for found in re.findall(r"bt_\w{40,}", text)]
    told = [(name, text) for name, text in told if name != "keys.add"]
    walker.furnish()
    for route in READS:
        if route.name not in NOT_READ:
            told.append((route.name, read(walker, route.name)))
    told += [(str(path), path.read_text("utf-8", "replace")) for path in kept(root / "state")]
    told += [("state.db", repr(rows_of(root / "state")))]
    told += [("log", str(each)) for each in runtime.records]
    assert len(told) > len(WRITES) + len(READS)
    for name, text in told:
        for value in (*KNOWN, key, OPERATORS_KEY):
            assert value not in text, name
    # Every other write can be made again.
    assert walker.http.delete("/api/keys/made").status_code == 200


def read(walker: Walker, name: str) -> str:
    """A page's answer; for an archive its contents."""
    route = next(each for each in READS if each.name == name)
    with walker.http.stream("GET", walker.asked(route).path, params=walker.asked(route).query) as (
        answer
    ):
        assert answer.status_code < 300 or name == "health.ready", f"{name}: {answer.status_code}"
        if answer.headers["content-type"].startswith("text/event-stream"):
            return next(answer.iter_text(), "")
        data = answer.read()
    if answer.headers["content-type"] != "application/gzip":
        return data.decode()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = [each for each in archive if each.isfile() and not each.name.startswith("apps/")]
        return "".join(
            archive.extractfile(each).read().decode("utf-8", "replace")  # type: ignore[union-attr]
            for each in files
        )


def kept(state: Path) -> Iterator[Path]:
    """All files of a state folder, except those that are meant to keep the values."""
    for path in state.rglob("*"):
        if path.is_file() and KEPT_IN.isdisjoint(path.relative_to(state).parts):
            yield path


# Two operators: one who read before the other's change is told so.


def tag(walker: Walker, path: str) -> dict[str, str]:
    """The field with which a write changes only what is there now."""
    answer = walker.http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == walker.http.get(path).headers["etag"]
    return {"If-Match": answer.headers["etag"]}


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"]) if answer.status_code >= 300 else "done"


def test_what_has_a_tag(walker: Walker) -> None:
    """By the table: what can be changed has an ETag, and its writes heed If-Match."""
    at_once = {
        "apps.recycle",
        "apps.sleep",
        "workers.recycle",
        "cron.run",
        "keys.add",
        "caches.purge",
    }
    untagged = {route.name for route in WRITES if not route.has_tag}
    assert untagged <= at_once


@pytest.mark.parametrize("path", ["apps/shop/maintenance", "apps/shop/secrets/STRIPE_KEY"])
def test_two_operators(walker: Walker, path: str) -> None:
    """The second change with the same tag is refused with 412; so are a dry run and a removal."""
    path, value = f"/api/{path}", {"value": "x"} if "secrets" in path else {"message": "x"}
    seen = tag(walker, path)
    assert code(walker.http.put(path, json=value, headers=seen)) == "done"
    for query in ("", "?dryRun=1"):
        again = walker.http.put(path + query, json=value, headers=seen)
        assert (again.status_code, code(again)) == (412, "precondition_failed")
        assert code(walker.http.delete(path + query, headers=seen)) == "precondition_failed"
    seen = tag(walker, path)
    assert code(walker.http.delete(path, headers=seen)) == "done"
    if "secrets" in path:
        # Setting the same value again makes another secret, and what does not exist has no tag.
        assert code(walker.http.put(path, json=value, headers=seen)) == "precondition_failed"
        assert code(walker.http.put(path, json=value, headers={"If-Match": "*"})) != "done"
        assert code(walker.http.put(path, json=value)) == "done"
        assert tag(walker, path) != seen


def test_both_at_once(walker: Walker) -> None:
    """Of simultaneous changes with the same tag only one is made: for files, for rows, and for
    deploys, which wait in line."""
    with ThreadPoolExecutor(4) as pool:
        for path, value in (
            ("/api/apps/shop/secrets/STRIPE_KEY", "value"),
            ("/api/apps/shop/maintenance", "message"),
        ):
            seen = tag(walker, path)
            told = pool.map(
                lambda number, path=path, value=value, seen=seen: code(
                    walker.http.put(path, json={value: str(number)}, headers=seen)
                ),
                range(4),
            )
            assert sorted(told) == ["done", *["precondition_failed"] * 3]
        walker.http.delete("/api/apps/shop/maintenance")
        seen = tag(walker, "/api/apps/shop")
        active = walker.http.get("/api/apps/shop").json()["active"]
        other = "1.0.0" if active == "2.0.0" else "2.0.0"
        paths = [f"/api/apps/shop/versions/{other}/activate", "/api/apps/shop/rollback"] * 2
        told = pool.map(lambda path: code(walker.http.post(path, headers=seen)), paths)
        assert sorted(told) == ["done", *["precondition_failed"] * 3]
    for method, path in (
        ("DELETE", "/api/apps/shop/versions/3.0.0"),
        ("DELETE", "/api/apps/shop"),
        ("PUT", "/api/apps/shop/versions/9.0.0"),
    ):
        content = shop("9.0.0") if method == "PUT" else None
        refused = walker.http.request(method, path, content=content, headers=seen)
        assert (refused.status_code, code(refused)) == (412, "precondition_failed"), path
    assert code(walker.http.post("/api/apps/none/rollback", headers={"If-Match": "*"})) != "done"


def test_a_tag_tells_nothing_of_a_value(walker: Walker) -> None:
    """A tag is not a hash that a caller could compute from a guessed value."""
    path = "/api/apps/shop/secrets/STRIPE_KEY"
    walker.http.put(path, json={"value": "guess"})
    told = walker.http.get(path)
    known = (
        told.json(),
        "guess",
        {"name": "STRIPE_KEY", "value": "guess"},
        ["STRIPE_KEY", "guess"],
    )
    assert told.headers["etag"] not in [tag_of(each) for each in known]
    walker.http.put("/api/apps/shop/secrets/OTHER", json={"value": "guess"})
    assert told.headers["etag"] != walker.http.get(f"{path[:-10]}OTHER").headers["etag"]
