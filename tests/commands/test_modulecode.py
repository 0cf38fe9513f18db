"""The file with the code of all modules: what is in it is used as long as it is of the sources."""

from __future__ import annotations

import importlib
import inspect
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from buntime.commands.modulecode import ModuleCode, _QuickModule

ROOT = Path(__file__).resolve().parents[2]
LONG_AGO_S = 1_700_000_000
SOURCES = {
    "__init__.py": "",
    "lid.py": "from boxes.inside import deep\n\ndef size():\n    return 'small'\n",
    "inside/__init__.py": "what = 'a package'\n",
    "inside/deep.py": "def fail():\n    raise KeyError('deep')\n",
}
Start = Callable[[], tuple[ModuleCode, ModuleType]]


def write(path: Path, text: str, changed_s: float = LONG_AGO_S) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (changed_s, changed_s))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        write(tmp_path / "boxes" / name, text)
    return tmp_path / "boxes"


@pytest.fixture
def start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Imports the package as a new process would; returns the finder and its module `lid`."""
    before = [*sys.meta_path]
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    def new_process() -> tuple[ModuleCode, ModuleType]:
        forget()
        finder = ModuleCode("boxes", str(folder))
        sys.meta_path.insert(0, finder)
        lid = importlib.import_module("boxes.lid")
        return finder, lid

    def forget() -> None:
        sys.meta_path[:] = before
        importlib.invalidate_caches()
        for name in [name for name in sys.modules if name.partition(".")[0] == "boxes"]:
            del sys.modules[name]

    yield new_process
    forget()


def kept(folder: Path) -> Path:
    [file] = folder.glob("__pycache__/modules.*")
    return file


def by_file() -> set[str]:
    """The modules whose code came from the file."""
    return {
        name
        for name, module in sys.modules.items()
        if name.startswith("boxes") and type(module.__loader__).__module__ == ModuleCode.__module__
    }


ALL = {"boxes", "boxes.lid", "boxes.inside", "boxes.inside.deep"}


def test_the_second_start_reads_one_file(folder: Path, start: Start) -> None:
    finder, _ = start()
    assert by_file() == set()
    finder.keep()
    for path in folder.rglob("*.pyc"):
        path.unlink()
    _, lid = start()
    assert by_file() == ALL
    assert lid.size() == "small"
    assert not [*folder.rglob("*.pyc")]


def test_a_module_is_as_if_it_came_from_its_pyc(folder: Path, start: Start) -> None:
    def described() -> Any:
        return [
            (
                module.__file__,
                module.__cached__,
                module.__package__,
                getattr(module, "__path__", None),
                module.__spec__.parent,
                module.__spec__.has_location,
                inspect.getsource(module) if name != "boxes" else "",
            )
            for name, module in sorted(sys.modules.items())
            if name.startswith("boxes")
        ]

    finder, _ = start()
    usual = described()
    finder.keep()
    _, lid = start()
    assert by_file() == ALL
    assert described() == usual
    with pytest.raises(KeyError) as caught:
        lid.deep.fail()
    assert str(caught.traceback[-1].path) == f"{folder}/inside/deep.py"
    assert "raise KeyError" in str(caught.traceback[-1].statement)


@pytest.mark.parametrize(
    "changed_s", [LONG_AGO_S + 1, LONG_AGO_S - 1, LONG_AGO_S + 1e-6], ids=["later", "older", "µs"]
)
def test_a_changed_module_is_imported_anew(folder: Path, start: Start, changed_s: float) -> None:
    finder, _ = start()
    finder.keep()
    write(folder / "lid.py", SOURCES["lid.py"].replace("small", "large"), changed_s)
    for path in folder.rglob("lid.*.pyc"):
        path.unlink()  # Python cannot tell versions of the same second and size apart
    finder, lid = start()
    assert lid.size() == "large"
    assert by_file() == ALL - {"boxes.lid"}
    finder.keep()
    _, lid = start()
    assert lid.size() == "large"
    assert by_file() == ALL


def test_a_change_of_the_size_alone(folder: Path, start: Start) -> None:
    finder, _ = start()
    finder.keep()
    write(folder / "lid.py", SOURCES["lid.py"].replace("small", "quite large"))
    _, lid = start()
    assert lid.size() == "quite large"


def test_a_module_that_is_gone(folder: Path, start: Start) -> None:
    finder, _ = start()
    finder.keep()
    (folder / "inside/deep.py").unlink()
    with pytest.raises(ImportError, match="deep"):
        start()


def test_what_another_process_needs_stays(folder: Path, start: Start) -> None:
    """The file gains modules, and loses only those that changed."""
    finder, _ = start()
    finder.keep()
    write(folder / "rare.py", "")
    finder, _ = start()
    importlib.import_module("boxes.rare")
    finder.keep()
    finder, _ = start()
    importlib.import_module("boxes.rare")
    assert by_file() == ALL | {"boxes.rare"}
    write(folder / "lid.py", SOURCES["lid.py"], LONG_AGO_S + 5)
    finder, _ = start()  # does not import `rare`
    finder.keep()
    start()
    importlib.import_module("boxes.rare")
    assert by_file() == ALL | {"boxes.rare"}


def test_nothing_is_written_when_all_is_there(folder: Path, start: Start) -> None:
    finder, _ = start()
    finder.keep()
    before = kept(folder).stat()
    finder, _ = start()
    finder.keep()
    assert kept(folder).stat().st_ino == before.st_ino


def test_what_another_process_has_written_stays(folder: Path, start: Start) -> None:
    mine, _ = start()
    other, _ = start()
    other.keep()
    before = kept(folder).stat().st_ino
    mine.keep()
    assert kept(folder).stat().st_ino == before


@pytest.mark.parametrize("cut", [0, 3, 8, 40, -400, -1])
def test_a_file_that_is_cut_short(folder: Path, start: Start, cut: int) -> None:
    finder, _ = start()
    finder.keep()
    whole = kept(folder).read_bytes()
    kept(folder).write_bytes(whole[:cut])
    finder, lid = start()
    assert lid.size() == "small"
    finder.keep()
    assert kept(folder).read_bytes() == whole


def test_a_file_of_garbage(folder: Path, start: Start) -> None:
    finder, _ = start()
    finder.keep()
    for size in (8, 100, 5000):
        kept(folder).write_bytes(b"\xff" * size)
        _, lid = start()
        assert lid.size() == "small"


def test_a_moved_package_has_its_new_paths(folder: Path, start: Start, tmp_path: Path) -> None:
    finder, _ = start()
    finder.keep()
    moved = folder.rename(tmp_path / "elsewhere")
    moved_to = ModuleCode("boxes", str(moved))
    assert moved_to.find_spec("boxes.lid") is None


def test_no_room(folder: Path, start: Start) -> None:
    """Half a file is removed again. Python ignores the signal that comes with the error."""
    finder, _ = start()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        finder.keep()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [*folder.rglob("modules.*")]
    finder.keep()
    assert kept(folder)


def test_nobody_else_may_write_it(folder: Path, start: Start) -> None:
    finder, _ = start()
    before = os.umask(0)
    try:
        finder.keep()
    finally:
        os.umask(before)
    assert kept(folder).stat().st_mode & 0o777 == 0o644


def test_a_closed_file(folder: Path, start: Start) -> None:
    """Nothing more is found in it, and what was found can still be read, from its .pyc."""
    finder, _ = start()
    finder.keep()
    finder, lid = start()
    finder.close()
    assert finder.find_spec("boxes.lid") is None
    loader = cast("Any", lid.__loader__)
    assert loader.get_code("boxes.lid").co_filename == str(folder / "lid.py")
    finder.close()


def test_python_may_be_told_to_write_nothing(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder, _ = start()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    finder.keep()
    assert not [*folder.rglob("modules.*")]


def test_a_folder_that_cannot_be_written_to(folder: Path, start: Start) -> None:
    """There is no __pycache__, and a file has its name."""
    write(folder / "__pycache__", "")
    finder, lid = start()
    assert lid.size() == "small"
    finder.keep()
    assert (folder / "__pycache__").read_text() == ""


def test_a_source_that_may_still_change_is_left_out(folder: Path, start: Start) -> None:
    """A second version of the same second would have the same .pyc."""
    young = Path(folder, "lid.py")
    os.utime(young)
    finder, _ = start()
    finder.keep()
    start()
    assert by_file() == ALL - {"boxes.lid"}


def test_other_packages_are_not_asked_for(folder: Path, start: Start) -> None:
    finder, _ = start()
    finder.keep()
    assert finder.find_spec("boxesandmore") is None
    finder, _ = start()
    finder.find_spec("boxesandmore")
    before = kept(folder).stat().st_ino
    finder.keep()
    assert kept(folder).stat().st_ino == before


@pytest.fixture
def serve(start: Start) -> Callable[[], tuple[ModuleCode, ModuleType]]:
    """Imports `lid` alone, then asks for what a server needs, and imports `boxes.whole`."""

    def new_process() -> tuple[ModuleCode, ModuleType]:
        finder, _ = start()
        finder.import_together()
        return finder, importlib.import_module("boxes.whole")

    return new_process


@pytest.fixture
def whole(folder: Path) -> Path:
    """Modules that only a server imports; `whole` needs all others."""
    write(folder / "half.py", "import boxes\n\ndef __getattr__(name):\n    return name\n")
    write(folder / "more/__init__.py", "")
    write(folder / "more/quarter.py", "from boxes.lid import size\n\nsize()\n")
    write(
        folder / "whole.py",
        "from boxes.half import what\nfrom boxes.more import quarter\n\nsize = quarter.size\n",
    )
    return folder


TOGETHER = {"boxes.half", "boxes.more", "boxes.more.quarter", "boxes.whole"}


def imported_together(start: Start) -> set[str]:
    """The modules that are there before anything but `lid` is imported."""
    finder, _ = start()
    finder.import_together()
    assert all(type(module) is not _QuickModule for module in sys.modules.values())
    return by_file() - ALL


def test_what_a_server_needs_is_imported_together(whole: Path, start: Start, serve: Start) -> None:
    """A module is as if it had been imported, its place in its package included."""
    finder, module = serve()
    usual = [sorted(vars(sys.modules[name])) for name in sorted(TOGETHER)]
    finder.keep()
    assert imported_together(start) == TOGETHER
    assert [sorted(vars(sys.modules[name])) for name in sorted(TOGETHER)] == usual
    module = sys.modules["boxes.whole"]
    assert (module.size(), module.what) == ("small", "what")
    assert sys.modules["boxes"].more.quarter is sys.modules["boxes.more.quarter"]
    with pytest.raises(AttributeError, match=r"module 'boxes\.whole' has no attribute 'other'"):
        _ = module.other


def test_what_only_others_import_is_not_imported_together(
    whole: Path, start: Start, serve: Start
) -> None:
    """A file that a command has not seen whole is written again by a server, once."""
    finder, _ = start()
    finder.keep()
    finder, _ = serve()
    finder.keep()
    before = kept(whole).stat().st_ino
    finder, _ = serve()
    finder.keep()
    assert kept(whole).stat().st_ino == before
    start()
    assert by_file() == ALL


def test_a_process_that_has_it_all_leaves_the_piece_to_others(
    whole: Path, start: Start, serve: Start
) -> None:
    """It may write the file first, or again: a server then adds what it imports, once."""
    finder, _ = start()
    importlib.import_module("boxes.whole")
    finder.import_together()
    finder.keep()
    assert imported_together(start) == set()
    finder, _ = serve()
    finder.keep()
    write(whole / "rare.py", "")
    finder, _ = start()
    importlib.import_module("boxes.whole")
    importlib.import_module("boxes.rare")
    finder.import_together()
    finder.keep()
    before = kept(whole).stat().st_ino
    assert imported_together(start) == TOGETHER
    finder, _ = serve()
    finder.keep()
    assert kept(whole).stat().st_ino == before


def test_what_a_server_no_longer_needs_is_not_imported(
    whole: Path, start: Start, serve: Start
) -> None:
    """A change of any module may be that it needs others."""
    finder, _ = serve()
    finder.keep()
    write(whole / "whole.py", "from boxes.lid import size\n", LONG_AGO_S + 8)
    finder, _ = serve()
    finder.keep()
    assert imported_together(start) == {"boxes.whole"}


@pytest.mark.parametrize("changed", ["more/quarter.py", "more/__init__.py", "half.py", "whole.py"])
def test_a_changed_module_is_not_imported_together(
    whole: Path, start: Start, serve: Start, changed: str
) -> None:
    """It is imported anew, and what needs it gets the new one."""
    finder, _ = serve()
    finder.keep()
    path = whole / changed
    write(path, f"{path.read_text()}\nchanged = True\n", LONG_AGO_S + 5)
    finder, module = serve()
    name = f"boxes.{changed.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"
    assert sys.modules[name].changed is True
    assert module.size() == "small"
    assert by_file() == (ALL | TOGETHER) - {name}
    finder.keep()
    assert imported_together(start) == TOGETHER
    order = [name for name in sys.modules if name in TOGETHER]
    assert order[-1] == "boxes.whole"
    assert order.index("boxes.more") < order.index("boxes.more.quarter")


def test_a_module_that_fails_is_not_there(whole: Path, start: Start, serve: Start) -> None:
    """Its error is raised, as by `import`."""
    write(whole / "half.py", "from os import environ\nwhat = environ['PATH']\n", LONG_AGO_S + 3)
    finder, _ = serve()
    finder.keep()
    finder, _ = start()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PATH")
        with pytest.raises(KeyError, match="PATH"):
            finder.import_together()
    assert "boxes.half" not in sys.modules
    assert all(type(module) is not _QuickModule for module in sys.modules.values())


@pytest.mark.parametrize("cut", [-1, -40, -300])
def test_the_piece_is_cut_short(whole: Path, start: Start, serve: Start, cut: int) -> None:
    finder, _ = serve()
    finder.keep()
    data = kept(whole).read_bytes()
    kept(whole).write_bytes(data[:cut])
    assert imported_together(start) == set()
    finder, module = serve()
    assert module.size() == "small"
    finder.keep()
    assert imported_together(start) == TOGETHER


def test_the_library_is_included(folder: Path, tmp_path: Path) -> None:
    """Its own modules are, packages installed in it are not; and only for this library."""
    library = tmp_path / "lib"
    (folder / "__pycache__").mkdir()
    write(library / "ours_alone.py", "what = 'library'\n")
    write(library / "site-packages/others_alone.py", "what = 'package'\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", False)
        patch.setattr(sys, "path", [str(library), str(library / "site-packages"), *sys.path])
        names = ("ours_alone", "others_alone")
        for name in names:
            importlib.import_module(name)
        try:
            ModuleCode("boxes", str(folder), str(library)).keep()
        finally:
            for name in names:
                del sys.modules[name]
    found = ModuleCode("boxes", str(folder), str(library))
    assert found.find_spec("ours_alone") is not None
    assert found.find_spec("others_alone") is None
    elsewhere = ModuleCode("boxes", str(folder), str(tmp_path))
    assert elsewhere.find_spec("ours_alone") is None


PRINTED = """
import sys
sys.path.insert(0, sys.argv[1])
import buntime.__main__
from buntime.commands.serve import runtime_serve
runtime_serve()
ours = [m for n, m in sys.modules.items() if n.partition(".")[0] == "buntime"]
by = "buntime.commands.modulecode"
others = [m.__name__ for m in ours if type(m.__loader__).__module__ != by]
assert not [each for each in sys.meta_path if type(each).__module__ == by]
print(len(ours), *others)
"""


def test_a_start_of_ours() -> None:
    """All but those modules that are needed to read the file come from it."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):  # the first may write the file
        line = [sys.executable, "-c", PRINTED, str(ROOT)]
        done = subprocess.run(line, env=env, capture_output=True, check=True, text=True)
    count, *others = done.stdout.split()
    assert int(count) > 300
    young = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in (ROOT / "buntime").rglob("*.py")
        if path.stat().st_mtime > os.stat(__file__).st_mtime
    }
    first = {"buntime", "buntime.__main__", "buntime.commands", "buntime.commands.modulecode"}
    first |= {name for name in others if name.startswith("buntime.sdk")}  # `buntime` imports it
    assert {*others} - young <= first
