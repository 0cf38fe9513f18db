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

# Not the browser that the package would download, because CI cannot reach its host.
_NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
LACKING = "there is no Chromium; apt-get install chromium-headless-shell"
WIDE: ViewportSize = {"width": 1280, "height": 900}
USUAL: Mapping[str, Any] = {"viewport": WIDE, "locale": "en-GB"}  # of a page's context
_ARGS = (
    # As root, as in a container, Chromium has no sandbox; it opens only our own pages here.
    "--no-sandbox",
    # The pages of a context share a process: starting one takes as long as loading the panel.
    "--renderer-process-limit=1",
    # Names other than localhost, for which browsers send fewer fields and offer fewer features, and
    # which others may have resolve to this machine.
    "--host-resolver-rules=MAP *.example 127.0.0.1, MAP *.test 127.0.0.1",
)
_ANCHOR = "about:blank#kept"
_BROWSERS: dict[tuple[str, ...], Browser] = {}  # that run, by their arguments
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
        _BROWSERS.clear()
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
    """A browser started with `args`, in which nothing is left of other tests; skips without one.

    One serves all files of tests that want the same: in a new context it is as if just started.
    """
    if CHROMIUM is None:
        pytest.skip(LACKING)
    with driver() as playwright:
        browser = _BROWSERS.get(args)
        if browser is None or not browser.is_connected():
            browser = _BROWSERS[args] = playwright.chromium.launch(
                executable_path=CHROMIUM, args=[*_ARGS, *args]
            )
        yield browser
        for context in browser.contexts:
            context.close()


def kept_context(browser: Browser, **options: Any) -> BrowserContext:
    """A context whose renderer stays, as one of its pages does, when those of a test are closed."""
    context = browser.new_context(**{**USUAL, **options})
    context.new_page().goto(_ANCHOR)
    return context


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
    """The pages of a test, without that of `kept_context`."""
    return [each for each in context.pages if each.url != _ANCHOR]
