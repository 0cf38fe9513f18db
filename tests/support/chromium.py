"""A real browser: the headless Chromium of the system."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    ViewportSize,
    sync_playwright,
)

from tests.support.harness import Runtime

# Not the browser that the package would download, because CI cannot reach its host.
_NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
LACKING = "there is no Chromium; apt-get install chromium-headless-shell"
WIDE: ViewportSize = {"width": 1280, "height": 900}
USUAL: Mapping[str, Any] = {"viewport": WIDE, "locale": "en-GB"}  # of a page's context
_ANCHOR = "/api/health/live"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=LACKING)


@contextlib.contextmanager
def driver() -> Iterator[Playwright]:
    """The process that drives browsers. One serves all files of tests, since its start takes longer
    than that of a browser; if something fails in its use, the next file gets another.

    Its event loop runs all the time in this thread, in a greenlet. Only meanwhile asyncio is told,
    as it starts no other loop then.
    """
    before = asyncio._get_running_loop()
    playwright, loop = _started()
    asyncio._set_running_loop(loop)
    try:
        yield playwright
    except BaseException:
        _started.cache_clear()
        playwright.stop()  # and its browsers
        raise
    finally:
        asyncio._set_running_loop(before)


@functools.cache
def _started() -> tuple[Playwright, asyncio.AbstractEventLoop]:
    playwright = sync_playwright().start()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        asyncio._set_running_loop(loop)
        playwright.stop()

    atexit.register(stop)
    return playwright, loop


@contextlib.contextmanager
def launched(*args: str) -> Iterator[Browser]:
    """A fresh browser, sharing nothing with other tests, started with `args`; skips without one."""
    if CHROMIUM is None:
        pytest.skip(LACKING)
    with driver() as playwright:
        # As root, for example in a container, Chromium has no sandbox; it opens only our own pages
        # here.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *args])
        yield browser
        browser.close()


@contextlib.contextmanager
def one_renderer(runtime: Runtime, *args: str, **options: Any) -> Iterator[Browser]:
    """A browser whose pages share a process, which a page that stays open keeps alive: starting one
    for each test takes as long as loading the panel. It is started with `args`; `options` are those
    of all pages."""
    with launched("--renderer-process-limit=1", *args) as browser:
        context = browser.new_context(**{**USUAL, **options})
        context.new_page().goto(runtime.url + _ANCHOR)
        yield browser


def origin_of(url: str) -> str:
    """`"http://127.0.0.1:8000/cpanel/"` -> `"http://127.0.0.1:8000"`"""
    return "/".join(url.split("/")[:3])


def forget(
    context: BrowserContext, page: Page, origins: set[str], *, is_kept: bool = False
) -> None:
    """Close all pages of a context, unless this one is kept, and leave nothing of them but the
    cache of files."""
    session = context.new_cdp_session(page)
    for origin in origins | {origin_of(each.url) for each in context.pages}:
        session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
    context.clear_cookies()
    context.set_offline(False)  # as a test that failed may have left it
    session.detach()
    for each in pages_of(context):
        if not is_kept or each != page:
            each.close()


def pages_of(context: BrowserContext) -> list[Page]:
    """The pages of a test, without that of `one_renderer`."""
    return [each for each in context.pages if not each.url.endswith(_ANCHOR)]
