"""A real browser: the headless Chromium of the system."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

# The one that the package would download comes from where CI cannot reach.
_NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
LACKING = "there is no Chromium; apt-get install chromium-headless-shell"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=LACKING)


@contextlib.contextmanager
def launched(*args: str) -> Iterator[Browser]:
    """A browser with nothing of another test in it, started with `args`. Skips if there is none."""
    if CHROMIUM is None:
        pytest.skip(LACKING)
    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox; what is opened here is our own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *args])
        yield browser
        browser.close()
