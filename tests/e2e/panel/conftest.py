"""Where the panel of a file's runtime is, and a page of it, which tests share or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.harness import Runtime
from tests.support.operators import address_of
from tests.support.panel import Shared, watched


@pytest.fixture(scope="module")
def panel(runtime: Runtime) -> str:
    return f"{address_of(runtime)}/cpanel/"


@pytest.fixture(scope="module")
def shared(browser: Browser) -> Shared:
    return Shared(browser)


@pytest.fixture
def own_page() -> None:
    """For tests that change the page's session, scripts or network, or begin with none shown."""


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser, shared: Shared) -> Iterator[Page]:
    """A page that the file's tests share, or with `own_page` one that nothing was done in."""
    with watched(browser) if "own_page" in request.fixturenames else shared.lent() as page:
        yield page
