"""A shell of the tests' own, pages for its frames, and a browser that looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from playwright.sync_api import Browser, Error, Frame, Page

from tests.support.chromium import forget, kept_context, pages_of
from tests.support.harness import Runtime, running, write_app
from tests.support.pluginfolders import write_plugin

_FILES = Path(__file__).parent / "desk"
DESK = {name: (_FILES / name).read_text("utf-8") for name in ("index.html", "desk.js")}
TALK = {
    "index.html": (_FILES / "talk.html").read_text("utf-8"),
    "talk.js": (_FILES / "talk.js").read_text("utf-8"),
}
RAW = {"index.html": (_FILES / "raw.html").read_text("utf-8")}
LOOP = {"index.html": (_FILES / "loop.html").read_text("utf-8")}
# Pages that change by loading another one.
PAGES = "<!doctype html><title>{0}</title><body><h1>{0}</h1><a id=next href=second.html>next</a>"
SAYS_HELLO = '<script type="module" src="/.well-known/buntime/frame.js"></script>'

OPEN = {"visibility": "public", "entrypoint": "index.html", "routes": ["/api/**"]}
CODE = """
import json, time
from buntime import Response
def events():
    for n in range(200):
        yield f"data: {n}\\n\\n"
        time.sleep(0.1)
def fetch(request):
    if request.path == "/api/events":
        return Response(events(), headers={"Content-Type": "text/event-stream"})
    if request.path == "/api/picture":
        svg = '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>'
        return Response(svg, headers={"Content-Type": "image/svg+xml"})
    if request.path == "/api/table":
        return Response("a,b", headers={"Content-Disposition": 'attachment; filename="told.csv"'})
    return Response.json({"path": request.path, "headers": dict(request.headers.items())})
async def websocket(ws):
    await ws.accept()
    query, fields = dict(ws.query.items()), dict(ws.headers.items())
    await ws.send(json.dumps({"path": ws.path, "query": query, "headers": fields}))
"""


@contextmanager
def with_desk(
    folder: Path,
    pages: Mapping[str, Mapping[str, str]],
    more: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
    **env: str,
) -> Iterator[Runtime]:
    """A runtime with the shell, and a plugin with these files for each name in `pages`.

    `more` has further keys for their manifests, by name.
    """
    write_app(folder / "apps/desk", DESK)
    for name, files in pages.items():
        write_plugin(
            folder / "plugins", name, CODE, **{"base": f"/{name}", **OPEN, **more.get(name, {})}
        )
        write_app(folder / "plugins" / name, files)
    dirs = {"RUNTIME_PLUGIN_DIRS": str(folder / "plugins"), "RUNTIME_STATE_DIR": str(folder / "s")}
    with running(folder / "apps", env={"RUNTIME_ENV": "production", **dirs, **env}) as runtime:
        yield runtime


_WAIT = """async (timeout) => {
    const until = performance.now() + timeout;
    while (!(CONDITION)) {
        if (performance.now() > until) throw new Error("it did not come true");
        await new Promise((done) => setTimeout(done, 5));
    }
}"""
_FORGET = """() => {
    try { sessionStorage.clear(); } catch { return false; }
    return history.length < 20;  // it never grows beyond 50
}"""
_TIMEOUT_MS = 10_000


def wait_for(place: Page | Frame, condition: str) -> None:
    """Wait until this is true in a page's script.

    Playwright's own wait_for_function loads a script into the page, which takes a quarter of what
    it takes to load the shell.
    """
    place.evaluate(_WAIT.replace("CONDITION", condition), _TIMEOUT_MS)


class Desk:
    """The shell in a browser window.

    All desks of a browser share a context, and the window too as long as one can be left without a
    trace: opening one takes half as long as loading the shell.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self.url = url
        self.context = next(iter(browser.contexts), None) or kept_context(browser)
        kept = pages_of(self.context)
        self.page: Page = kept[0] if kept else self.context.new_page()
        self.page.set_default_timeout(_TIMEOUT_MS)
        self.faults: list[str] = []
        self.page.on("pageerror", self._on_fault)

    def _on_fault(self, error: Error) -> None:
        self.faults.append(str(error))

    def open(self, path: str) -> None:
        """Show a path, such as `"/talk/queues"`."""
        self.page.goto(f"{self.url}/desk{path}")

    def show(self, path: str = "/talk/") -> Frame:
        """Like `open`, but returns the frame once its page has heard from the shell."""
        self.open(path)
        self.wait_for("ready")
        return self.frame

    @property
    def frame(self) -> Frame:
        """The frame that is shown now."""
        return next(each for each in self.page.frames if each.parent_frame == self.page.main_frame)

    def wait_for(self, name: str, times: int = 1) -> None:
        """Wait until the shell has seen this many events of this name."""
        wait_for(self.page, f"seen.filter(([each]) => each === '{name}').length >= {times}")

    def seen(self, name: str) -> list[object]:
        """What the shell has seen under this name."""
        return list(
            self.page.evaluate(
                "(name) => seen.filter(([each]) => each === name).map(([, it]) => it)", name
            )
        )

    @property
    def path(self) -> str:
        """What the address bar shows after the shell's own part."""
        return str(
            self.page.evaluate("location.pathname.slice(5) + location.search + location.hash")
        )

    def close(self) -> None:
        is_kept = False
        try:
            is_kept = not self.faults and self.page.evaluate(_FORGET)
        finally:
            self.page.remove_listener("pageerror", self._on_fault)
            forget(self.context, self.page, {self.url}, is_kept=is_kept)
