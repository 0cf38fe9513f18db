"""authn for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authn import passwords
from tests.support.signingin import Signing

_LOG2_N = 8  # makes scrypt take half a millisecond


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Signing]]:
    """Makes authn with the given options."""
    monkeypatch.setattr(passwords, "_LOG2_N", _LOG2_N)
    all_of_them: list[Signing] = []

    def make(**config: object) -> Signing:
        all_of_them.append(Signing(tmp_path, **config))
        return all_of_them[-1]

    yield make
    for each in all_of_them:
        each.close()
