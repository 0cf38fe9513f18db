"""The worker's code in the cache: complete, private, and there whatever state the home folder is
in."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.core.errors import UsageError
from buntime.server.bundle.bundle import (
    default_cache_dir,
    ensure_bundle,
    ensure_shared_bundle,
    read_bundle,
)
from buntime.server.bundle.cachefolder import lock, remove_unused
from tests.support.disks import remount, small_disk
from tests.support.harness import wait_until

ROOT = Path(__file__).resolve().parents[3]


class Warnings(list[tuple[str, dict[str, object]]]):
    """Collects what would be logged."""

    def __call__(self, event: str, message: str, /, **fields: object) -> None:
        self.append((event, fields))


@pytest.fixture
def warnings() -> Warnings:
    return Warnings()


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """A temporary folder of our own, as safe as /tmp."""
    before, folder = tempfile.tempdir, tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = before


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_what_is_in_it(tmp_path: Path, warnings: Warnings) -> None:
    """The bundle holds the launcher, what apps import, and the worker; nothing of the runtime."""
    files = content(ensure_bundle(tmp_path, warn=warnings))
    assert files == read_bundle()
    assert files["__main__.py"] == (ROOT / "buntime/worker/launch.py").read_bytes()
    modules = {path.name for path in (ROOT / "buntime").glob("*.py")} - {"__main__.py"}
    workers = {path.name for path in (ROOT / "buntime/worker").glob("*.py")} - {"launch.py"}
    assert set(files) == (
        {"__main__.py"}
        | {f"buntime/{name}" for name in modules}
        | {f"buntime/sdk/{path.name}" for path in (ROOT / "buntime/sdk").glob("*.py")}
        | {f"buntime/worker/{name}" for name in workers}
    )
    assert warnings == []


def test_it_is_private(tmp_path: Path, warnings: Warnings) -> None:
    """The cache and the bundle are for this user alone, whatever the umask."""
    before = os.umask(0)
    try:
        bundle = ensure_bundle(tmp_path / "cache/buntime", warn=warnings)
    finally:
        os.umask(before)
    for folder in (bundle, bundle.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert bundle.parent == tmp_path / "cache/buntime"
    assert warnings == []


def identities(folder: Path) -> dict[Path, tuple[int, int]]:
    """Inode and ctime of everything in a folder; reading may change the other times."""
    stats = {path: path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


def test_it_is_unpacked_once(tmp_path: Path, warnings: Warnings) -> None:
    """A second start uses the same folder unchanged."""
    first = ensure_bundle(tmp_path, warn=warnings)
    before = identities(first)
    assert ensure_bundle(tmp_path, warn=warnings) == first
    assert identities(first) == before
    assert list(tmp_path.iterdir()) == [first]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("__main__.py", "missing"),
        ("buntime/wire.py", "empty"),
        ("buntime/worker/__init__.py", "longer"),
        ("buntime/worker/__init__.py", "missing"),
        ("buntime/wire.py", "a folder"),
    ],
)
def test_a_damaged_bundle_is_replaced(
    tmp_path: Path, warnings: Warnings, name: str, damage: str
) -> None:
    """A bundle in which anything is missing or different is replaced, not used."""
    bundle = ensure_bundle(tmp_path, warn=warnings)
    file = bundle / name
    if damage == "longer":
        file.write_bytes(file.read_bytes() + b"\n")
    else:
        file.unlink()
    if damage == "empty":
        file.touch()
    if damage == "a folder":
        file.mkdir()
    assert ensure_bundle(tmp_path, warn=warnings) == bundle
    assert content(bundle) == read_bundle()
    assert list(tmp_path.iterdir()) == [bundle]
    assert warnings == []


def test_something_else_in_its_place(tmp_path: Path, warnings: Warnings) -> None:
    """A file or link in the bundle's place is replaced; the link's target stays."""
    bundle = ensure_bundle(tmp_path / "cache", warn=warnings)
    other = tmp_path / "other"
    bundle.rename(other)
    bundle.symlink_to(other)
    assert ensure_bundle(tmp_path / "cache", warn=warnings) == bundle
    assert not bundle.is_symlink()
    assert content(other) == read_bundle()


def test_a_bundle_that_others_can_write(tmp_path: Path, warnings: Warnings) -> None:
    """A bundle that another user could have changed, or still could, is replaced."""
    bundle = ensure_bundle(tmp_path, warn=warnings)
    bundle.chmod(0o770)
    assert ensure_bundle(tmp_path, warn=warnings) == bundle
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o700


def test_bundles_of_other_versions_go(tmp_path: Path, warnings: Warnings) -> None:
    """A new bundle replaces those that no runtime uses; anything that is not a bundle stays."""
    others = [tmp_path / name for name in ("worker-0123", "worker-4567", "pyz-89ab", "deps")]
    for folder in others:
        (folder / "buntime").mkdir(parents=True)
    held = lock(str(others[1]))
    assert held is not None
    try:
        bundle = ensure_bundle(tmp_path, warn=warnings)
    finally:
        os.close(held)
    assert {*tmp_path.iterdir()} == {bundle, *others[1:]}


def test_a_bundle_in_use_stays(tmp_path: Path, warnings: Warnings) -> None:
    """A bundle is locked for as long as the process that asked for it lives."""
    code = (
        "from buntime.server.bundle.bundle import ensure_bundle\n"
        f"print(ensure_bundle({str(tmp_path)!r}, warn=print), flush=True)\n"
        "import sys; sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        assert process.stdout is not None
        bundle = Path(process.stdout.readline().strip())
        newer = tmp_path / "worker-newer"
        newer.mkdir()
        remove_unused(str(newer))
        assert bundle.is_dir()
        process.communicate()
    remove_unused(str(newer))
    assert not bundle.exists()


def test_many_at_once(tmp_path: Path) -> None:
    """Runtimes that start at the same time end up with the same complete bundle."""
    code = (
        "from buntime.server.bundle.bundle import ensure_bundle\n"
        "import sys; sys.stdin.read()\n"
        f"print(ensure_bundle({str(tmp_path)!r}, warn=print))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.close()  # now
    outputs = set()
    for process in started:
        assert process.stdout is not None
        outputs.add(process.stdout.read())
        process.stdout.close()
        assert process.wait() == 0
    [bundle] = tmp_path.iterdir()
    assert outputs == {f"{bundle}\n"}
    assert content(bundle) == read_bundle()


def test_it_runs_alone(tmp_path: Path, warnings: Warnings) -> None:
    """The worker's modules import each other from the bundle, with only the standard library."""
    bundle = ensure_bundle(tmp_path, warn=warnings)
    names = [name for name in read_bundle() if name not in ("__main__.py",)]
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in names
    ]
    code = f"import sys; sys.path.insert(0, {str(bundle)!r})\n"
    code += "".join(f"import {module}\n" for module in modules)
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, cwd="/")


# Other places


def test_a_read_only_root_is_no_fault(tmp_path: Path, temporary: Path, warnings: Warnings) -> None:
    """If the cache is on a read-only file system the temporary folder is used, without a
    warning."""
    with small_disk(tmp_path / "root") as root:
        (root / "cache").mkdir(mode=0o700)
        remount(root, "ro")
        bundle = ensure_bundle(root / "cache/buntime", warn=warnings)
        assert ensure_bundle(root / "cache", warn=warnings) == bundle
        remount(root, "rw")
    assert bundle.parent == temporary / f"buntime-{os.geteuid()}"
    assert warnings == []


def test_the_cache_cannot_be_made(tmp_path: Path, temporary: Path, warnings: Warnings) -> None:
    """If the home folder is missing or not writable, the temporary folder is used."""
    blocked = tmp_path / "file"
    blocked.touch()
    bundle = ensure_bundle(blocked / "cache", warn=warnings)
    assert bundle.parent == temporary / f"buntime-{os.geteuid()}"
    assert stat.S_IMODE(bundle.parent.stat().st_mode) == 0o700
    [(event, fields)] = warnings
    assert event == "cache.unusable"
    assert fields == {"folder": str(blocked / "cache"), "reason": f"{blocked}: not a folder"}
    assert ensure_bundle(blocked / "cache", warn=warnings) == bundle


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_cache_that_others_can_write(
    tmp_path: Path, temporary: Path, warnings: Warnings, mode: int
) -> None:
    """A cache in which another user could put a bundle is not used."""
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    assert ensure_bundle(cache, warn=warnings).is_relative_to(temporary)
    assert warnings[0][1]["reason"] == f"{cache} can be written by other users"


def test_a_folder_above_that_all_can_write(
    tmp_path: Path, temporary: Path, warnings: Warnings
) -> None:
    """Nor is one that another user could swap as a whole, even behind a link."""
    above = tmp_path / "above"
    (above / "cache").mkdir(parents=True)
    above.chmod(0o777)
    (tmp_path / "link").symlink_to(above / "cache")
    for cache in (above / "cache", above / "cache/new", tmp_path / "link"):
        assert ensure_bundle(cache, warn=warnings).is_relative_to(temporary)
        assert warnings.pop()[1]["reason"] == f"{above} can be written by everybody"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_cache_of_another_user(tmp_path: Path, temporary: Path, warnings: Warnings) -> None:
    """A folder of another user is not used, be it the cache or the fallback."""
    for folder in (tmp_path / "cache", temporary / "buntime-0"):
        folder.mkdir()
        os.chown(folder, 65534, 65534)
    bundle = ensure_bundle(tmp_path / "cache", warn=warnings)
    assert bundle.parent.parent == temporary
    assert bundle.parent != temporary / "buntime-0"
    assert [fields["reason"] for _, fields in warnings] == [
        f"{tmp_path / 'cache'} belongs to another user",
        f"{temporary / 'buntime-0'} belongs to another user",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to somebody else")
@pytest.mark.parametrize("where", ["cache", "above/cache", "cache/new", "first", "dots/../cache"])
def test_a_link_of_another_user(
    tmp_path: Path, temporary: Path, warnings: Warnings, where: str
) -> None:
    """A path that another user could redirect later is not used, wherever it leads now."""
    (tmp_path / "safe/cache").mkdir(parents=True)
    (tmp_path / "dots").mkdir()
    links = {"cache": "safe/cache", "above": "safe", "second": "safe/cache", "first": "second"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    theirs = {"above/cache": "above", "first": "second"}.get(where, "cache")
    os.chown(tmp_path / theirs, 65534, 65534, follow_symlinks=False)
    assert ensure_bundle(str(tmp_path / where), warn=warnings).is_relative_to(temporary)
    assert warnings[0][1]["reason"] == f"{tmp_path / theirs} is a link of another user"
    assert not (tmp_path / "safe/cache/new").exists()


def test_a_link_in_an_open_folder(tmp_path: Path, temporary: Path, warnings: Warnings) -> None:
    """Our own link is not used if somebody else could replace it."""
    (tmp_path / "safe").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open/link").symlink_to(tmp_path / "safe")
    assert ensure_bundle(tmp_path / "open/link", warn=warnings).parent == tmp_path / "open/link"
    (tmp_path / "open").chmod(0o1777)  # with the sticky bit nobody else can rename or remove
    assert ensure_bundle(tmp_path / "open/link", warn=warnings).parent == tmp_path / "open/link"
    assert warnings == []
    (tmp_path / "open").chmod(0o777)
    assert ensure_bundle(tmp_path / "open/link", warn=warnings).is_relative_to(temporary)
    assert warnings[0][1]["reason"] == f"{tmp_path / 'open'} can be written by everybody"


def test_links_without_end(tmp_path: Path, temporary: Path, warnings: Warnings) -> None:
    """A link to itself is not a folder."""
    (tmp_path / "loop").symlink_to("loop")
    assert ensure_bundle(tmp_path / "loop/cache", warn=warnings).is_relative_to(temporary)
    assert "loop" in str(warnings[0][1]["reason"])


def test_nothing_is_made_on_a_way_that_is_not_safe(
    tmp_path: Path, temporary: Path, warnings: Warnings
) -> None:
    """No folder is created in one that everybody can write to: it could be swapped for a link."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    ensure_bundle(tmp_path / "open/a/b", warn=warnings)
    assert list((tmp_path / "open").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_bundle_of_another_user(tmp_path: Path, warnings: Warnings) -> None:
    """A bundle of another user is replaced."""
    bundle = ensure_bundle(tmp_path, warn=warnings)
    os.chown(bundle, 65534, 65534)
    assert ensure_bundle(tmp_path, warn=warnings) == bundle
    assert bundle.stat().st_uid == 0


def test_a_closed_copy_is_unpacked_anew_for_others(warnings: Warnings) -> None:
    """If workers run as another user, a complete copy that only we can read is replaced."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        for each in (Path(folder), Path(folder, "cache")):
            each.mkdir(exist_ok=True)
            each.chmod(0o755)
        closed = ensure_bundle(f"{folder}/cache", warn=warnings)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        bundle = ensure_shared_bundle(f"{folder}/cache", warn=warnings)
        assert bundle == closed
        assert content(bundle) == read_bundle()
        for path in (bundle, *bundle.rglob("*")):
            wanted = 0o755 if path.is_dir() else 0o644
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path
        before = identities(bundle)
        assert ensure_shared_bundle(f"{folder}/cache", warn=warnings) == bundle
        assert identities(bundle) == before
    assert warnings == []


def test_the_last_resort_goes_with_the_runtime(tmp_path: Path) -> None:
    """A folder made for this runtime only is removed when it ends."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (temporary / f"buntime-{os.geteuid()}").touch()  # a file in its place
    (tmp_path / "cache").touch()
    code = (
        "from buntime.server.bundle.bundle import ensure_bundle\n"
        f"bundle = ensure_bundle({str(tmp_path / 'cache')!r}, warn=lambda *a, **k: None)\n"
        "print(bundle, (bundle / '__main__.py').is_file())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TMPDIR": str(temporary)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    path, was_there = done.stdout.split()
    assert was_there == "True"
    assert Path(path).parent.parent == temporary
    assert not Path(path).parent.exists()


# A process of its own ends what would touch files a hundred times a second until the tests end.
KEEPS_FRESH = """
import sys
from pathlib import Path
from buntime.server.bundle.bundle import keep_fresh
keep_fresh(*map(Path, sys.argv[1:]), every_s=0.01)
sys.stdin.read()
"""


def test_what_is_used_looks_used(tmp_path: Path, temporary: Path, warnings: Warnings) -> None:
    """What is in the temporary folder gets fresh access times again and again; its mtime stays."""
    (tmp_path / "cache").touch()
    bundle = ensure_bundle(tmp_path / "cache", warn=warnings)
    stranger = temporary / "stranger"
    stranger.touch()
    paths = [bundle, *bundle.rglob("*"), stranger]
    for path in paths:
        os.utime(path, (1, 1))
    command = [sys.executable, "-c", KEEPS_FRESH, str(bundle), str(temporary)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE):
        for _ in range(2):
            wait_until(lambda: all(path.stat().st_atime > 1 for path in paths[:-1]))
            assert {path.stat().st_mtime for path in paths} == {1}
            assert stranger.stat().st_atime == 1
            os.utime(paths[0], (1, 1))


def test_nowhere_to_write(tmp_path: Path, temporary: Path, warnings: Warnings) -> None:
    """If nothing can be written, the operator is told what to do."""
    (tmp_path / "cache").touch()
    tempfile.tempdir = str(tmp_path / "cache")
    with pytest.raises(UsageError, match="set TMPDIR"):
        ensure_bundle(tmp_path / "cache", warn=warnings)


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/buntime"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/buntime"),
        ({"XDG_CACHE_HOME": "rel", "HOME": "/h"}, "/h/.cache/buntime"),
        ({"HOME": "rel"}, None),
        ({}, None),
    ],
)
@pytest.mark.skipif(sys.platform == "darwin", reason="caches lie elsewhere there")
def test_default_cache(environ: dict[str, str], folder: str | None) -> None:
    """The cache is where the user's other caches are."""
    assert default_cache_dir(environ) == (Path(folder) if folder else None)
