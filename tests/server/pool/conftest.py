"""A bundle of the worker's code for the whole run."""

from pathlib import Path

import pytest

from tests.support.workshop import make_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "worker")
