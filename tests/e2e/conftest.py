"""The browser of a file's tests; a file whose tests need one with options makes its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from tests.support.chromium import launched  # most files need no browser

    with launched() as browser:
        yield browser
