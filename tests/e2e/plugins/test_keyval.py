"""The built-in plugin keyval in a real runtime: apps call it, operators look into it."""

from __future__ import annotations

import ast
import os
import re
import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from buntime.core.plugins.manifest import parse_plugin_manifest
from keyval.limits import Limits
from tests.support.client import Answer, fetch, workers_of
from tests.support.harness import OPERATORS_KEY, ROOT, Runtime, wait_until, write_app
from tests.support.keyvalapp import SYNC, code, with_keyval
from tests.support.pluginfolders import post
from tests.support.serviceapps import told
from tests.test_docs import examples

PAGE = (ROOT / "docs/keyval.md").read_text("utf-8")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("kv")
    write_app(folder / "apps" / "docs", {"app.py": SYNC}, ttl=600, uses=["kv"], timeout="20s")
    with with_keyval(folder) as runtime:
        yield runtime


def run(runtime: Runtime, text: str, app: str = "shop") -> Any:
    """Has an app run the code, and returns what it leaves in `result`."""
    return told(fetch(runtime, f"/{app}/", method="POST", body=code(text)))


def api(runtime: Runtime, method: str, path: str, body: bytes = b"", **query: object) -> Answer:
    headers = {"X-API-Key": OPERATORS_KEY, "Content-Type": "application/json"}
    target = f"/keyval/api/{path}?{urlencode(query)}"
    return fetch(runtime, target, method=method, headers=headers, body=body)


def test_sync(runtime: Runtime) -> None:
    """A sync app reads, writes, lists, changes atomically, and uses queues."""
    source = """
    kv.set(("s", 1), {"a": [1, None, 1.5]})
    kv.set(("s", 2), b"\\x00\\xff")
    kv.atomic().sum(("n",), 2).sum(("n",), 3).commit()
    number = kv.enqueue("q", "job", attempts=1)
    message = kv.take("q")
    message.nack("broken")
    keys = [entry.key for entry in kv.list(("s",), page=1)]
    result = [kv.get(("s", 1)), len(kv.get(("s", 2))), kv.get(("n",)), message.value, keys]
    result += [kv.dead("q") == [[number, 1, "broken", "job"]], kv.drop(number)]
    """
    found = run(runtime, source)
    assert found == [{"a": [1, None, 1.5]}, 2, 5, "job", [["s", 1], ["s", 2]], True, True]


def test_async(runtime: Runtime) -> None:
    """An async app does the same, and sees nothing of the other's data."""
    run(runtime, 'kv.set(("t", 1), 1)\nkv.set(("m",), 1)')
    source = """
    await kv.set(("t", 3), {"a": 1})
    await kv.set(("m",), 0)
    await kv.atomic().sum(("m",), 2).commit()
    await kv.enqueue("q", "job")
    message = await kv.take("q")
    await message.ack()
    keys = [entry.key async for entry in kv.list(("t",), page=1)]
    entry = await kv.entry(("t", 3))
    many = await kv.get_many([("m",), ("x",)])
    result = [entry.value, await kv.get(("m",)), message.attempts, keys, many[1]]
    """
    assert run(runtime, source, "cafe") == [{"a": 1}, 2, 1, [["t", 3]], None]
    assert run(runtime, 'result = [kv.get(("m",)), kv.get(("t", 3))]') == [1, None]


def test_watch(runtime: Runtime) -> None:
    """A watch reports that it is set up, and then each change."""
    sync = """
    watch = kv.watch(("w",))
    result = [next(watch)]
    kv.set(("w", 1), "a")
    kv.set(("other",), "b")
    kv.delete(("w", 1))
    kv.set(("w", 2), "c")
    while result[-1] != [["w", 2], "c"]:
        entry = next(watch)
        result.append([entry.key, entry.value])
        result[-1][0] = list(entry.key)
    watch.close()
    """
    found = run(runtime, sync)
    assert found[0] is None
    assert found[-1] == [["w", 2], "c"]
    assert all(key[0] == "w" for key, _ in found[1:])
    source = """
    watch = kv.watch(key=("w", 1))
    result = [await anext(watch)]
    await kv.set(("w", 1), "a")
    result.append((await anext(watch)).value)
    await watch.aclose()
    """
    assert run(runtime, source, "cafe") == [None, "a"]


def test_consume(runtime: Runtime) -> None:
    """A consumer that waits gets messages as they come, delayed ones too."""
    source = """
    result = []
    def work():
        for message in kv.consume("work"):
            result.append(message.value)
            message.ack()
            if message.value == "end":
                return
    thread = threading.Thread(target=work)
    thread.start()
    kv.enqueue("work", "a")
    kv.enqueue("work", "end", delay_s=0.1)
    thread.join()
    """
    assert run(runtime, source) == ["a", "end"]
    source = """
    await kv.enqueue("work", "a", delay_s=0.05)
    async for message in kv.consume("work"):
        await message.ack()
        result = message.value
        break
    """
    assert run(runtime, source, "cafe") == "a"


def test_errors(runtime: Runtime) -> None:
    """A refusal arrives with its code and its message."""
    source = """
    kv.set(("e",), 1)
    result = []
    for only_if, value in [(0, 1), (None, "x" * 70000)]:
        try:
            kv.set(("e",), value, only_if=only_if)
        except ServiceError as exc:
            result.append([exc.code, str(exc)])
    """
    conflict, invalid = run(runtime, source)
    assert conflict[0] == "conflict"
    assert invalid == ["invalid", "a value of 70002 bytes is too large; 65536 is the most"]


# Operators


def test_api(runtime: Runtime) -> None:
    """An operator reads and writes an app's data."""
    run(runtime, "kv.set(('o', 1), {'a': 1})")
    here = {"space": "app:shop", "key": '["o", 1]'}
    answer = api(runtime, "GET", "entry", **here)
    assert (answer.json(), answer.headers["x-content-type-options"]) == ({"a": 1}, "nosniff")
    assert api(runtime, "PUT", "entry", b'{"a": 2}', **here).status == 200
    assert run(runtime, "result = kv.get(('o', 1))") == {"a": 2}
    names = [each["name"] for each in api(runtime, "GET", "spaces").json()["spaces"]]
    assert "app:shop" in names


@pytest.mark.parametrize("path", ["spaces", "entry?space=app:shop&key=[1]", "", "x"])
def test_without_a_key(runtime: Runtime, path: str) -> None:
    """The API is closed to everybody without the operator's key."""
    for method in ("GET", "PUT", "DELETE", "POST"):
        assert fetch(runtime, f"/keyval/api/{path}", method=method).status == 401


def test_page(runtime: Runtime) -> None:
    """The page is open to everybody, holds no data, and runs no script but its own file."""
    answer = fetch(runtime, "/keyval/")
    assert answer.status == 200
    text = answer.body.decode()
    assert "script-src 'self'" in text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=|javascript:", text)
    for name in re.findall(r'(?:src|href)="(\w+\.\w+)"', text):
        assert fetch(runtime, f"/keyval/{name}").status == 200
    script = (ROOT / "plugins/keyval/page/keyval.js").read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)


# Its life


def test_reload_while_calls_pass(runtime: Runtime) -> None:
    """Callers wait while the old process ends and the new one starts; no call is lost."""
    source = """
    failed, made = [], []
    def count():
        while True:
            try:
                if kv.get(("stop",)):
                    return
                kv.atomic().sum(("count",), 1).commit()
                made.append(1)
                time.sleep(0.005)
            except ServiceError as exc:
                failed.append([exc.code, str(exc)])
                return
    threads = [threading.Thread(target=count) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    result = [failed, len(made), kv.get(("count",))]
    """
    run(runtime, "kv.set(('count',), 0)")
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(run(runtime, source)))
    thread.start()
    for _ in range(2):
        before = counted(runtime)
        wait_until(lambda b=before: counted(runtime) > b, 20, "calls pass")
        generations = serving(runtime)
        assert post(runtime, "/api/plugins/keyval/reload").status == 202
        wait_until(lambda g=generations: serving(runtime) > g, 20, "it is reloaded")
    assert api(runtime, "PUT", "entry", b"1", space="app:shop", key='["stop"]').status == 200
    thread.join()
    [[failed, made, count]] = found
    assert failed == []
    assert made == count > 0


def counted(runtime: Runtime) -> int:
    """How often the app has counted."""
    found = api(runtime, "GET", "entry", space="app:shop", key='["count"]').json()
    assert isinstance(found, int)
    return found


def serving(runtime: Runtime) -> int:
    return sum(each["event"] == "plugin.serving" for each in runtime.records)


def test_reload_while_somebody_waits(runtime: Runtime) -> None:
    """A watch continues after a reload and says that it may have missed something."""
    source = """
    result = []
    watch = kv.watch(("w",))
    result.append(next(watch))
    kv.set(("begun",), 1)
    result.append(next(watch))
    kv.set(("w", 1), 7)
    result.append(next(watch).value)
    watch.close()
    """
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(run(runtime, source)))
    thread.start()
    wait_until(lambda: run_begun(runtime), 20, "it watches")
    assert post(runtime, "/api/plugins/keyval/reload").status == 202
    thread.join()
    assert found == [[None, None, 7]]


def run_begun(runtime: Runtime) -> bool:
    return api(runtime, "GET", "entry", space="app:shop", key='["begun"]').status == 200


def test_killed(runtime: Runtime) -> None:
    """What was written before a SIGKILL is there when the plugin runs again."""
    run(runtime, "kv.set(('a',), 1)")
    (worker,) = workers_of(runtime, "plugin:keyval")
    os.kill(worker["pid"], signal.SIGKILL)
    source = """
    try:
        result = kv.get(("a",))
    except ServiceError as exc:
        result = exc.code
    """
    wait_until(lambda: run(runtime, source) == 1, 20, "it serves again")


def test_options_and_a_newer_file(tmp_path: Path) -> None:
    """A variable of the runtime sets an option. A file of a newer keyval keeps the plugin from
    starting, and the log says why."""
    source = """
    try:
        kv.set(("a",), b"x" * 20_000)
    except ServiceError as exc:
        result = [exc.code, str(exc)]
    """
    with with_keyval(tmp_path, KEYVAL_SPACE_MB="0.01") as runtime:
        told_code, text = run(runtime, source)
        assert (told_code, "10485 are the most" in text) == ("full", True)
    [file] = (tmp_path / "s").rglob("keyval.db")
    newer = sqlite3.connect(file)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with with_keyval(tmp_path) as runtime:
        source = "try: kv.get(('a',))\nexcept ServiceError as exc: result = exc.code"
        assert run(runtime, source) == "away"
        failed = runtime.wait_for_record("plugin.start_failed", plugin="keyval")
        assert "has version 99 of the schema" in failed["error"]


# The docs


def test_docs(runtime: Runtime) -> None:
    """The examples of docs/keyval.md run as written, and `# ->` shows the result of a line."""
    blocks = "\n".join(examples(PAGE, "python"))
    source = [f"text = {blocks!r}", f"checks = {checks(blocks)!r}", CHECKS]
    assert run(runtime, "\n".join(source), "docs") == []


CHECKS = """
import ast
names = {}
result = []
for node in ast.parse(text).body:
    lines = "\\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])
    if node.lineno in checks:
        found = eval(lines, names)
        if found != eval(checks[node.lineno]):
            result.append([lines, repr(found)])
    else:
        exec(lines, names)
"""


def checks(text: str) -> dict[int, str]:
    """The result that the page shows for a line, by its number."""
    lines = enumerate(text.splitlines(), 1)
    found = {number: line.partition("# -> ")[2] for number, line in lines if "# -> " in line}
    assert len(found) >= 15
    for expected in found.values():
        ast.literal_eval(expected)
    return found


def test_options_are_told() -> None:
    """docs/keyval.md has a row for each option, with its default and its variable."""
    text = (ROOT / "plugins/keyval/buntime.yaml").read_bytes()
    manifest, warnings = parse_plugin_manifest(
        text, path="", body_default=1 << 20, body_max=1 << 20
    )
    assert warnings == ()
    assert Limits.of({name: kind.default for name, kind in manifest.config.items()}) == Limits()
    for name, kind in manifest.config.items():
        assert f"| `{name}` | {kind.default} | `{kind.env}` |" in PAGE
