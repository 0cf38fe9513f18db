"""Options set by operators, in their file: written to a temporary file, then renamed."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from buntime.core.errors import ServerFault
from buntime.core.plugins.keptoptions import Kept
from buntime.server.plugins.optionstore import NAME, OptionStore
from buntime.server.state.statefolder import StateFolder

KEPT = {"audit": {"token": Kept("hunter2", "local", "2026-11-26T17:32:04Z", is_secret=True)}}


class Told:
    """Warnings, as the log would get them."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __call__(self, event: str, message: str, /, **fields: Any) -> None:
        self.events.append(event)
        assert "hunter2" not in f"{message} {fields}"


def store(folder: Path, told: Told | None = None) -> OptionStore:
    return OptionStore(StateFolder(str(folder)), told or Told())


def test_kept(tmp_path: Path) -> None:
    """Prepared options apply to the next runtime once committed; only we can read them."""
    first = store(tmp_path)
    first.prepare(KEPT)
    assert store(tmp_path).now == {}
    first.commit()
    assert store(tmp_path).now == KEPT
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_dropped(tmp_path: Path) -> None:
    """Nothing is left of options that were dropped, nor of a runtime that was killed before it
    committed."""
    first = store(tmp_path)
    first.prepare(KEPT)
    first.drop()
    assert list(tmp_path.iterdir()) == []
    first.prepare(KEPT)  # and was killed
    after = store(tmp_path)
    assert after.now == {}
    after.prepare({"audit": {"days": Kept(3, "local", "")}})
    after.commit()
    assert store(tmp_path).of("audit")["days"].value == 3
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_what_cannot_be_kept(tmp_path: Path) -> None:
    """A write that fails is an error, with the cause for the log, and the previous options stay."""
    first = store(tmp_path)
    (tmp_path / NAME).mkdir()
    first.prepare(KEPT)
    with pytest.raises(ServerFault, match="nothing was changed") as caught:
        first.commit()
    assert NAME in str(caught.value.detail)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_link_in_its_place(tmp_path: Path) -> None:
    """A link in the file's place is not followed for writing."""
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / f"{NAME}.new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ServerFault):
        store(tmp_path).prepare(KEPT)
    assert (tmp_path / "elsewhere").read_text() == "x"


@pytest.mark.parametrize("data", [b"{", b'{"audit": {"token": {"valeu": "hunter2"}}}'])
def test_a_file_with_a_fault(tmp_path: Path, data: bytes) -> None:
    """A faulty file counts as empty, and is reported without any value."""
    (tmp_path / NAME).write_bytes(data)
    told = Told()
    assert store(tmp_path, told).now == {}
    assert told.events == ["plugins.options_unreadable"]
