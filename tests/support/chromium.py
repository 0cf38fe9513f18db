"""A real browser: the headless Chromium of the system."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

# Not the browser that the package would download, because CI cannot reach its host.
_NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
LACKING = "there is no Chromium; apt-get install chromium-headless-shell"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=LACKING)


@contextlib.contextmanager
def launched(*args: str) -> Iterator[Browser]:
    """A fresh browser, sharing nothing with other tests, started with `args`; skips without one."""
    if CHROMIUM is None:
        pytest.skip(LACKING)
    with sync_playwright() as playwright:
        # As root, for example in a container, Chromium has no sandbox; it opens only our own pages
        # here.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *args])
        yield browser
        browser.close()
