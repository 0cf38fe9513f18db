"""What the tests of the state share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.statesubject import Subject


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "state"


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Subject]]:
    made: list[Subject] = []

    def begin(**options: Any) -> Subject:
        for each in made:
            each.close()
        made[:] = [Subject(folder, **options)]
        made[0].db.start()
        return made[0]

    yield begin
    for each in made:
        each.close()
