"""New code replaces a plugin's old code while requests and calls come: none is lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, wait_until, write_app
from tests.support.pluginfolders import (
    lines,
    plugged,
    plugins_of,
    post,
    rewrite,
    wait_for_state,
    write_plugin,
)

PAUSE_S = 0.02  # between two requests of a client
# Takes a moment to start, during which all requests and calls have to wait.
ALL = """
import os, time
time.sleep(0.2)
from buntime import Response
from buntime.plugin import Continue, exposed
print("{word} up", os.getpid(), flush=True)
class Store:
    @exposed
    def word(self): return "{word}"
services = {{"kv": Store()}}
def on_request(request): return Continue(headers={{"x-word": "{word}"}})
def on_response(request, response): response.headers["x-seen"] = "{word}"
def fetch(request): return Response("{word}")
def on_shutdown(): print("{word} down", os.getpid(), flush=True)
"""
APP = """
from buntime import Response, service
kv = service("kv")
def fetch(request):
    return Response(f"{request.headers['x-word']} {kv.word()}")
"""
MANIFEST = {
    "base": "/kv", "visibility": "public", "provides": {"kv": {"to": "all"}}, "hookTimeout": "10s",
}  # fmt: skip


def code(word: str) -> str:
    return ALL.format(word=word)


@contextmanager
def shop(folder: Path, **manifest: object) -> Iterator[tuple[Runtime, Path]]:
    """A plugin that uses every feature, and an app that calls it."""
    plugin = write_plugin(folder / "one", "kv", code("old"), **MANIFEST, **manifest)
    (folder / "plugins").mkdir()
    (folder / "plugins" / "kv").symlink_to(plugin)
    write_app(folder / "apps" / "shop", {"app.py": APP}, ttl=600, uses=["kv"])
    with plugged(folder) as runtime:
        wait_for_state(runtime, "kv", "serving")
        yield runtime, plugin


class Traffic:
    """Sends requests all the time: to the app, which is hooked and calls, and to the page."""

    def __init__(self, runtime: Runtime) -> None:
        self.answers: Counter[str] = Counter()
        self._runtime = runtime
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(path,)) for path in ["/shop/", "/kv/"] * 3
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, text: str) -> None:
        """Wait until this answer has come."""
        wait_until(lambda: self.answers[text] > 0, 20, text)

    def wait_for_more(self, text: str) -> None:
        """Wait until this answer has come once more."""
        before = self.answers[text]
        wait_until(lambda: self.answers[text] > before, 20, text)

    def _ask(self, path: str) -> None:
        while not self._is_over.wait(PAUSE_S):
            answer = fetch(self._runtime, path)
            is_seen = path == "/kv/" or answer.headers["x-seen"] is not None
            self.answers[f"{answer.status} {is_seen} {answer.body.decode()}"] += 1


def check(answers: Counter[str], *words: str) -> None:
    """Each answer must be right: that of the page, or of the app, whose hook and call may differ in
    their code."""
    right = [*words, *(f"{one} {other}" for one in words for other in words)]
    assert set(answers) <= {f"200 True {each}" for each in right}


@pytest.mark.parametrize("overlap", [True, False])
def test_nothing_is_lost_by_a_reload(tmp_path: Path, overlap: bool) -> None:
    """With `overlap: false` what comes between the two processes waits for the new one, also if the
    process is recycled."""
    with shop(tmp_path, overlap=overlap) as (runtime, plugin), Traffic(runtime) as traffic:
        for word in ("one", "two"):
            rewrite(plugin, code(word))
            assert post(runtime, "/api/plugins/kv/reload").status == 202
            traffic.wait_for(f"200 True {word} {word}")
        if not overlap:
            before = wait_for_state(runtime, "kv", "serving")
            assert post(runtime, f"/api/workers/{before['worker']}/recycle").status == 202
            wait_until(lambda: plugins_of(runtime)["kv"]["pid"] not in (None, before["pid"]), 20)
            traffic.wait_for_more("200 True two two")
    check(traffic.answers, "old", "one", "two")
    assert not [each for each in runtime.records if each["event"] == "plugin.died"]
    if not overlap:
        said = [each.split()[:2] for each in lines(runtime)]
        assert [what for _, what in said] == ["up", "down"] * (len(said) // 2)


FAULTS = ["raise OSError('no disk')", "import os; os.abort()"]


def test_nothing_is_lost_by_code_that_fails(tmp_path: Path) -> None:
    """With `overlap: false` the old code starts again, and waiting requests go to it."""
    with shop(tmp_path, overlap=False) as (runtime, _), Traffic(runtime) as traffic:
        traffic.wait_for("200 True old old")
        for number, fault in enumerate(FAULTS):
            source = f"import time; time.sleep(0.2)\n{fault}"
            new = write_plugin(tmp_path / f"new{number}", "kv", source, **MANIFEST, overlap=False)
            before = plugins_of(runtime)["kv"]
            link = tmp_path / "plugins" / "next"
            link.symlink_to(new)
            link.rename(tmp_path / "plugins" / "kv")
            assert post(runtime, "/api/plugins/kv/reload").status == 202
            runtime.wait_for_new("plugin.going_back")
            after = wait_for_state(runtime, "kv", "serving")
            assert after["why"].startswith("failed to load"), fault
            assert after["generation"] > before["generation"], fault
            traffic.wait_for_more("200 True old old")
    check(traffic.answers, "old")


def test_nothing_is_lost_by_a_switch(tmp_path: Path) -> None:
    """A disabled plugin's page is gone at once, and requests pass without it; none fails."""
    write_plugin(tmp_path / "plugins", "tag", "def on_response(q, r): r.headers['x-tag'] = '1'")
    with plugged(tmp_path) as runtime:
        wait_for_state(runtime, "tag", "serving")
        answers: Counter[tuple[int, bytes]] = Counter()
        is_over = threading.Event()

        def ask() -> None:
            while not is_over.wait(PAUSE_S):
                answer = fetch(runtime, "/hello/")
                answers[answer.status, answer.body] += 1

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            post(runtime, "/api/plugins/tag/disable")
            wait_until(lambda: "x-tag" not in fetch(runtime, "/hello/").headers, 20)
            post(runtime, "/api/plugins/tag/enable")
            wait_until(lambda: "x-tag" in fetch(runtime, "/hello/").headers, 20)
        is_over.set()
        for thread in threads:
            thread.join()
    assert set(answers) == {(200, b"hello")}
