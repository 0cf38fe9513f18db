"""Walks the table of the API's routes against one runtime: what a dry run changes, which is
nothing, and where values of secrets come to light, which is nowhere.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
    write_folders,
)

# Streams that need not end, and what bears an app's own files.
NOT_READ = frozenset(("logs.list", "deploys.archive", "session.open"))

KEPT_IN = frozenset(("secrets", "plugin-options.json"))  # values


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
    """Each write is answered as usual: no file, no row of the state, and no change is told of."""
    wait_until(lambda: len(rows_of(root / "state")["audit"]) >= 5)
    files, rows, told = files_of(root), rows_of(root / "state"), changes(runtime)
    for route in WRITES:
        answer = walker.ask(walker.asked(route), dryRun=1)
        assert answer.status_code < 300, f"{route.name}: {answer.text}"
    # What was told before is in the log when this is.
    assert walker.http.get("/api/none").status_code == 404
    assert files_of(root) == files
    assert rows_of(root / "state") == rows
    assert changes(runtime) == told


def test_lists_come_in_pages(runtime: Runtime, walker: Walker) -> None:
    """Each has `limit` and `cursor`: one entry after the other comes to what comes at once."""
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
    """What an entry is called; the rest may change from one look to the next."""
    return "{app}{name}{id}".format_map(defaultdict(str, entry))


def changes(runtime: Runtime) -> list[str]:
    return [str(each) for each in runtime.records if each["event"].startswith("audit.")]


def test_no_value_comes_to_light(root: Path, runtime: Runtime, walker: Walker) -> None:
    """When all was written that can be: values of secrets, variables, passwords and keys are in no
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


def read(walker: Walker, name: str) -> str:
    """What a page answers; of an archive what is in it."""
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
    """All files of a state folder, but those whose purpose it is to keep the values."""
    for path in state.rglob("*"):
        if path.is_file() and KEPT_IN.isdisjoint(path.relative_to(state).parts):
            yield path
