"""What counts as a code change between a start and the first check of the files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from buntime.core.apps.watching import Watching
from buntime.server.apps.following import Followed


@pytest.mark.parametrize("is_run", [True, False])
def test_before_the_first_look(tmp_path: Path, is_run: bool) -> None:
    """A file that changed after the start counts if it belongs to a program, which may have read
    it, even if no import was reported."""
    file = tmp_path / "shop.py"
    file.write_text("PRICE = 1")
    made_ns = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns == made_ns:  # a tick of the file system
        file.write_text("PRICE = 22")
    followed = Followed(tmp_path, Watching(), made_ns, is_run=is_run)
    assert followed.look() == ("shop.py" if is_run else "")
    assert followed.look() == ""


def test_what_is_as_before(tmp_path: Path) -> None:
    """A file that has not changed since the program started does not count."""
    (tmp_path / "shop.py").write_text("PRICE = 1")
    assert Followed(tmp_path, Watching(), time.time_ns(), is_run=True).look() == ""
