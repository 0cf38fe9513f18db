"""Orders for what apps run before their workers start: interpreter checks and installations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buntime.core.access.paths import is_within
from buntime.core.sandbox.kernel import Access, Kernel
from buntime.core.sandbox.plan import OWN_PROCESS
from tests.server.sandbox.test_sandboxes import READ, WRITE, Place

RUN = Access.EXECUTE
LEVELS = pytest.mark.parametrize("level", ["standard", "strict"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def access(order: Any, path: Path) -> int:
    found = 0
    for allowed, paths in order["rules"]:
        if any(is_within(str(path), each) for each in paths):
            found |= allowed
    return found


@pytest.mark.parametrize("abi", range(8))
@LEVELS
def test_kernels(tmp_path: Path, abi: int, level: str) -> None:
    """Below ABI 3 there is no order; otherwise there is one without the runtime's own
    /proc/self."""
    place = Place(tmp_path, Kernel(abi))
    app = place.app("shop", manifest=f"sandbox: {level}")
    starts = place.sandboxes.starts
    look = starts.for_look(app, f"{app.dir}/.venv/bin/python", None)
    workshop = starts.for_install(app, "/usr/bin/python3", app.dir, None)
    assert (look is not None) == (workshop.order is not None) == (abi >= 3)
    for order in filter(None, (look, workshop.order)):
        assert all(paths != [OWN_PROCESS] for _, paths in order["rules"])
        assert access(order, place.root / "apps/other") == 0
        assert access(order, place.root / "state/key") == 0


def test_off(place: Place) -> None:
    """If the app has no sandbox there is no order, and no folder is created."""
    app = place.app("shop", manifest="sandbox: off")
    starts = place.sandboxes.starts
    assert starts.for_look(app, f"{app.dir}/.venv/bin/python", None) is None
    assert starts.for_install(app, "/usr/bin/python3", app.dir, None) == (None, None, None)
    assert list((place.root / "state").iterdir()) == []


@LEVELS
def test_an_installation(place: Place, level: str) -> None:
    """An installation can write to, and run programs in, the environment's folder and the temporary
    one; with `strict` it can read what `write` names."""
    app = place.app("shop", manifest=f"sandbox: {level}\nwrite: [../../beside/index]")
    (place.root / "beside/index").mkdir()
    home = place.root / "environments/shop"
    made = place.sandboxes.starts.for_install(app, "/usr/bin/python3", home, None)
    assert made.scratch is not None
    for folder in (home, Path(made.scratch)):
        assert access(made.order, folder / "x") & (READ | WRITE | RUN) == READ | WRITE | RUN
    assert access(made.order, place.root / "beside/index/a.whl") & (READ | WRITE) == READ
    other = access(made.order, place.root / "beside/x")
    assert other & (READ | WRITE) == (READ if level == "standard" else 0)
    place.sandboxes.close()


def test_whose_python_it_is(place: Place) -> None:
    """A Python is the app's own if it is in its folder, in another app's, behind a link, or where
    `write` lets the app write."""
    app = place.app("shop", manifest="write: [../../beside]")
    (app.dir / "linked").symlink_to("/usr/bin/python3")
    (place.root / "to").symlink_to(app.dir)
    is_own = place.sandboxes.starts.is_own
    for path in (
        "apps/shop/.venv/bin/python",
        "apps/shop/linked",
        "more/x/python",
        "beside/python",
    ):
        assert is_own(app, str(place.root / path)), path
    assert is_own(app, str(place.root / "to/.venv/bin/python"))
    for path in ("/usr/bin/python3", str(place.root / "cwd/python"), f"{app.dir}-2/python3"):
        assert is_own(app, path) == path.startswith(str(place.root / "apps")), path
