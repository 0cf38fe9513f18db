"""A bundle for the whole run, and a workshop for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.workshop import Workshop, make_bundle, workshop


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "worker")


@pytest.fixture
def shop(bundle: Path, tmp_path: Path) -> Iterator[Workshop]:
    folder = tmp_path / "app"
    folder.mkdir()
    with workshop(bundle, folder) as made:
        yield made
