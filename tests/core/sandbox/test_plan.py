"""Which paths an app may use, over a tree of folders that is a dict."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.access.paths import is_within
from buntime.core.sandbox.kernel import READ, RUN, WRITE, Access
from buntime.core.sandbox.plan import (
    AppPaths,
    Level,
    Surroundings,
    common_paths,
    common_rules,
    plan,
)

TREE = {
    "/": ["bin", "dev", "etc", "home", "proc", "srv", "usr", "var"],
    "/srv": ["apps", "www", "tls"],
    "/srv/tls": ["cert.pem", "key.pem"],
    "/srv/apps": ["blog", "shop", "shop@1.0.0"],
    "/srv/apps/shop": ["app.py", ".env", "uploads"],
    "/var": ["cache", "lib", "log"],
    "/var/lib": ["buntime", "dpkg"],
    "/etc": ["hosts", "passwd", "shadow", "ssl"],
}
AROUND = Surroundings(
    apps=("/srv/apps",),
    secrets=("/var/lib/buntime", "/srv/tls/key.pem"),
    scratch=("/var/lib/buntime/scratch-1",),
)
KEPT = ("/var/lib/buntime/data/shop", "/var/lib/buntime/scratch-1/shop")


def entries(folder: str, _: Collection[str] = ()) -> list[str]:
    return [f"{folder.rstrip('/')}/{name}" for name in TREE.get(folder, [])]


def app(**changes: tuple[str, ...]) -> AppPaths:
    paths = {
        "versions": ("/srv/apps/shop@1.0.0",),
        "kept": KEPT,
        "wanted": (),
        "python": ("/opt/python",),
    }
    return AppPaths(folder="/srv/apps/shop", **paths | changes)


def allowed(level: Level, path: str, made: AppPaths, around: Surroundings = AROUND) -> int:
    """What the kernel would allow at a path."""
    found = 0
    for access, paths in plan(level, made, around, entries).rules:
        if any(is_within(path, each) for each in paths):
            found |= access
    return found


def test_what_stands_beside_is_listed() -> None:
    """Everything is open except closed paths; the folders above those are not listable."""
    assert common_paths(AROUND, entries) == [
        *("/bin", "/etc", "/home", "/proc", "/srv/www", "/srv/tls/cert.pem", "/usr"),
        *("/var/cache", "/var/lib/dpkg", "/var/log"),
    ]


def test_standard() -> None:
    """An app reads its versions, writes its own folders, and sees none of others or the runtime."""
    made = app()
    assert allowed("standard", "/srv/apps/shop/app.py", made) == WRITE | Access.EXECUTE
    assert allowed("standard", "/srv/apps/shop@1.0.0/app.py", made) == RUN
    assert allowed("standard", "/etc/shadow", made) == RUN  # as far as its user may
    for path in KEPT:
        assert allowed("standard", path, made) == WRITE | Access.EXECUTE
    for path in (
        *("/srv/apps", "/srv/apps/blog/app.py", "/var/lib/buntime/state.db", "/srv/tls/key.pem"),
        *("/var/lib/buntime/data/blog", "/var/lib/buntime/scratch-1/blog", "/dev/sda", "/"),
    ):
        assert allowed("standard", path, made) == 0, path


def test_strict() -> None:
    """An app reads its folder and the system, and writes only its data and temporary files."""
    made = app()
    assert allowed("strict", "/srv/apps/shop/app.py", made) == RUN
    assert allowed("strict", "/usr/lib/libc.so", made) == RUN
    assert allowed("strict", "/etc/ssl/certs", made) == Access.READ_FILE | Access.READ_DIR
    for path in KEPT:
        assert allowed("strict", path, made) == WRITE  # files that it wrote cannot be executed
    for path in ("/etc/shadow", "/etc/ssl/private", "/etc/pki/tls/private", "/home/me",
                 "/srv/apps/shop@1.0.0", "/srv/www", "/var/log"):  # fmt: skip
        assert allowed("strict", path, made) == 0, path


def test_write_adds_paths() -> None:
    """`write` opens paths at both levels with the same rights, so files can move between them."""
    made = app(wanted=("/srv/www/files", "/srv/apps/shop/uploads"))
    assert allowed("standard", "/srv/www/files/a", made) == WRITE | Access.EXECUTE
    assert allowed("strict", "/srv/www/files/a", made) == WRITE
    assert allowed("strict", "/srv/apps/shop/uploads/a", made) == RUN | WRITE
    assert plan("strict", made, AROUND, entries).denied == ()


def test_write_opens_no_other_s() -> None:
    """`write` opens neither other apps' folders nor secrets; what holds some is opened in part."""
    wanted = ("/srv/apps/blog", "/var/lib/buntime/state.db", "/var", "/srv/apps/shop@1.0.0", "/")
    made = app(wanted=wanted)
    assert set(plan("standard", made, AROUND, entries).denied) == set(wanted)
    assert allowed("standard", "/var/log/x", made) == RUN | WRITE
    for path in ("/srv/apps/blog", "/var/lib/buntime/state.db", "/var/lib", "/dev/sda"):
        assert allowed("standard", path, made) == 0, path
    assert allowed("standard", "/srv/apps/shop@1.0.0", made) == RUN


def test_write_of_a_device() -> None:
    """A device that `write` names can be used."""
    made = app(wanted=("/dev/dri",))
    assert Access.IOCTL_DEV & allowed("strict", "/dev/dri/card0", made)


PARTS = st.lists(st.sampled_from(["a", "a-b", "a!", "b", "c"]), min_size=1, max_size=3)


@pytest.mark.parametrize("level", ["standard", "strict"])
@given(wanted=st.lists(PARTS.map(lambda parts: "/" + "/".join(parts)), max_size=5))
def test_no_written_path_is_inside_another(level: Level, wanted: list[str]) -> None:
    """No written path is inside another, whatever their names: an app could put a link there."""
    made = app(wanted=tuple(wanted))
    for access, paths in plan(level, made, AROUND, entries).rules:
        if access & Access.WRITE_FILE:
            inner = [(p, q) for p in paths for q in paths if p != q and is_within(p, q)]
            assert inner == []
    for path in wanted:
        assert allowed(level, path, made) & Access.WRITE_FILE


def test_what_lies_in_what_can_be_written_has_no_rule() -> None:
    """A path inside a writable one has no rule of its own: an app could replace it by a link."""
    made = app(wanted=("/srv/apps/shop/uploads", "/srv/www/a", "/srv/www"))
    written = [
        path
        for access, paths in plan("standard", made, AROUND, entries).rules
        if access == WRITE | Access.EXECUTE
        for path in paths
    ]
    assert sorted(written) == sorted(["/srv/apps/shop", "/srv/www", *KEPT])


def test_secret_in_the_app_s_folder() -> None:
    """If the app's folder holds a secret of the runtime, the app gets all the rest of it."""
    around = Surroundings(apps=("/srv/apps",), secrets=("/srv/apps/shop/.env",))
    for level in ("standard", "strict"):
        assert allowed(level, "/srv/apps/shop/.env", app(), around) == 0  # type: ignore[arg-type]
        assert allowed(level, "/srv/apps/shop/app.py", app(), around)  # type: ignore[arg-type]


def test_app_elsewhere() -> None:
    """An app behind a link may use its own target, which is closed to others."""
    around = Surroundings(apps=("/srv/apps", "/home/me/shop", "/home/me/blog"), secrets=())
    made = AppPaths(folder="/home/me/shop", versions=(), kept=(), wanted=(), python=())
    assert Access.WRITE_FILE & allowed("standard", "/home/me/shop/app.py", made, around)
    assert allowed("standard", "/home/me/blog/app.py", made, around) == 0


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


def all_entries(folder: str, _: Collection[str]) -> Iterable[str]:
    if folder.count("/") > 4:
        return []
    return [f"{folder.rstrip('/')}/{name}" for name in "abc"]


@settings(deadline=None)
@given(st.lists(PATHS, max_size=5), st.lists(PATHS, max_size=5))
def test_closed_paths_are_in_no_rule(apps: list[str], secrets: list[str]) -> None:
    """No common path contains a closed one or is inside one, and all other paths are there."""
    around = Surroundings(apps=tuple(apps), secrets=tuple(secrets))
    found = common_paths(around, all_entries)
    closed = around.closed
    for path in found:
        assert not any(is_within(path, each) or is_within(each, path) for each in closed)
    for first in "abc":
        for second in "abc":
            path = f"/{first}/{second}"
            is_closed = any(is_within(path, each) or is_within(each, path) for each in closed)
            assert any(is_within(path, each) for each in found) != is_closed


def told(*paths: str) -> AppPaths:
    return replace(app(), told=paths)


@pytest.mark.parametrize("level", ["standard", "strict"])
@pytest.mark.parametrize(
    "path",
    ["/srv/apps/blog", "/srv/apps", "/srv", "/", "/var/lib/buntime", "/var/lib/buntime/data/blog"],
)
def test_an_app_s_own_python_opens_nothing_closed(level: Level, path: str) -> None:
    """An app's choice of Python opens neither other apps nor secrets, nor folders with them."""
    for closed in ("/srv/apps/blog", "/var/lib/buntime", "/var/lib/buntime/data/blog"):
        assert allowed(level, closed, told(path)) == 0


def test_what_an_app_s_own_python_opens() -> None:
    """It opens what is not closed, and the app's own folder is open anyway."""
    assert allowed("strict", "/opt/more/lib", told("/opt/more")) == RUN
    assert (
        allowed("strict", "/srv/apps/shop@1.0.0/.venv", told("/srv/apps/shop@1.0.0/.venv")) == RUN
    )
    assert allowed("strict", "/srv/apps/shop/.venv", told("/srv/apps/shop/.venv")) == RUN


def test_what_is_built() -> None:
    """An installation runs what it has built, and otherwise reads what it was allowed."""
    made = replace(app(), is_built=True, read=("/etc/pip.conf", "/var/lib/buntime"))
    assert allowed("strict", KEPT[0], made) == WRITE | Access.EXECUTE
    assert allowed("strict", "/etc/pip.conf", made) == READ
    assert allowed("strict", "/var/lib/buntime/key", made) == 0
    assert allowed("strict", "/etc/shadow", made) == 0


@pytest.mark.parametrize("level", ["standard", "strict"])
def test_what_is_common_is_not_told_again(level: Level) -> None:
    """Common rules are the same for all apps; an app's own rules only add to them."""
    made = plan(level, replace(app(), python=("/usr/lib/python3", "/opt/python")), AROUND, entries)
    other = plan(level, replace(app(), folder="/srv/apps/blog"), AROUND, entries)
    assert made.common == other.common == common_rules(level, AROUND, entries)
    own = {path for _, paths in made.own for path in paths}
    assert {"/opt/python", "/srv/apps/shop", "/proc/self/"} <= own
    assert "/usr/lib/python3" not in own
