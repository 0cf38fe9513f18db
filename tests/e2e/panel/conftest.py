"""Where the panel of a file's runtime is, and a page of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.chromium import one_renderer
from tests.support.harness import Runtime
from tests.support.operators import address_of
from tests.support.panel import watched


@pytest.fixture(scope="module")
def panel(runtime: Runtime) -> str:
    return f"{address_of(runtime)}/cpanel/"


@pytest.fixture(scope="module")
def browser(runtime: Runtime) -> Iterator[Browser]:
    with one_renderer(runtime) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser) as page:
        yield page
