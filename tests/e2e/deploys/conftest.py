"""What the tests of deploys have in common; each module has a `runtime` of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deploying import Operator
from tests.support.harness import Runtime


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker folder that deploys go to."""
    return tmp_path_factory.mktemp("apps")


@pytest.fixture(scope="module")
def operator(runtime: Runtime) -> Iterator[Operator]:
    """The operator who deploys."""
    operator = Operator(runtime)
    with operator.http:
        yield operator
