"""The packaged forms are started as users start them: each runtime is a new process, not a fork."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.harness import afresh


@pytest.fixture(scope="module", autouse=True)
def _started_afresh() -> Iterator[None]:
    with afresh():
        yield
