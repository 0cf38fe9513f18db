"""A bundle of the worker's code for the whole run, and a machine with apps for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.unasked import Place
from tests.support.workshop import make_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "worker")


@pytest.fixture
def place(tmp_path: Path, bundle: Path) -> Iterator[Place]:
    place = Place(tmp_path, bundle)
    yield place
    place.close()
