"""What is tested in each form of Buntime.

Packaged files are always started as users start them. Of a checkout, only the tests of starts, of
commands and of what other processes see do so; the others fork their runtimes, as elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.harness import afresh

AFRESH = {"test_form", "test_operating", "test_readme", "test_secrets"}


@pytest.fixture(scope="module", autouse=True)
def _started_afresh(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.module.__name__.rpartition(".")[2] not in AFRESH:
        yield
        return
    with afresh():
        yield
