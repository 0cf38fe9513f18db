"""What users carry away is started as they start it: nothing is forked here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.harness import afresh


@pytest.fixture(scope="module", autouse=True)
def _started_afresh() -> Iterator[None]:
    with afresh():
        yield
