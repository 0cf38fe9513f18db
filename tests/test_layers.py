"""Imports point one way: sdk <- wire <- worker, sdk <- wire <- core <- server <- commands.

Worker and server never meet; what both do is below them, in `wire` and `confine`. A worker starts
with only the standard library and the layers below it, so an import that breaks this rule breaks
workers. Inside core and server each concern has a folder, and the concerns are ordered too: a
folder imports only from those before it.
"""

import ast
import contextlib
import graphlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "buntime").rglob("*.py"))
}

# What apps and plugins import by name belongs to the sdk layer.
IMPORTED_BY_APPS = {"buntime", "buntime.keyval", "buntime.plugin", "buntime.tuples"}
# Layer -> the layers it may import.
ALLOWED = {
    "sdk": {"sdk"},
    "wire": {"sdk", "wire"},
    "confine": {"sdk", "wire", "confine"},
    "worker": {"sdk", "wire", "confine", "worker"},
    "core": {"sdk", "wire", "core"},
    "server": {"sdk", "wire", "confine", "core", "server"},
    "commands": {"sdk", "wire", "confine", "core", "server", "commands"},
    # Calls an app in a test's process, so it has both ends of the channel but not the runtime.
    "testing": {"sdk", "wire", "worker", "core", "server", "testing"},
    "__main__": {"sdk", "wire", "core", "commands", "__main__"},
}
IN_A_WORKER = ("sdk", "wire", "confine", "worker")
# The concerns of a layer in order: each imports from itself and from those before it. A name that
# ends in .py is a module beside the folders.
CONCERNS = {
    "core": (
        "errors.py values access settings sandbox schedule apps deploys backup pool telemetry "
        "http1 plugins sites websocket config admin"
    ).split(),
    "server": (
        "loop defence bundle pythons state sandbox apps telemetry sites http1 websocket pool "
        "deploys plugins schedule backup admin pipeline lifetime runtime.py"
    ).split(),
}
FLAT = {"sdk", "worker", "commands", "testing"}  # layers without folders
# Modules that are in no layer.
BESIDE = {
    *(
        "py.typed",
        "__init__.py",
        "__main__.py",
        "confine.py",
        "keyval.py",
        "plugin.py",
        "tuples.py",
        "wire.py",
    )
}
LINES_MAX = 400  # of a module
FUNCTION_LINES_MAX = 60
SCRIPTS = "frames"  # scripts for browsers: no Python
# Slow to import, so the runtime imports these only when they are needed.
LATE = {
    "buntime.commands.appfolders",
    "buntime.core.apps.yamldocument",
    "buntime.core.config.keysfile",
    "buntime.core.telemetry.history",
    "buntime.core.apps.uvlocks",
    "buntime.core.websocket.deflate",
    "buntime.server.admin.census",
    "buntime.server.admin.exposition",
    "buntime.server.admin.operatorsessions",
    "buntime.server.admin.pages",
    "buntime.server.backup.writing",
    "buntime.server.bundle.archive",
    "buntime.server.deploys.carrier",
    "buntime.server.deploys.packing",
    "buntime.server.deploys.unpacking",
    "buntime.server.deploys.upload",
    "buntime.server.pipeline.filesteps",
    "buntime.server.pythons.installer",
    "buntime.server.schedule.cron",
    "buntime.server.schedule.keeping",
    "buntime.server.schedule.processes",
    "buntime.server.telemetry.otlpsender",
    "buntime.server.websocket.socketlink",
    "buntime.server.bundle.unpacking",
    "concurrent.futures",
    "cronsim",
    "difflib",
    "hashlib",
    "hmac",
    "html",
    "random",
    "secrets",
    "shutil",
    "traceback",
    "zoneinfo",
    "sqlite3",
}
DEFINES = re.compile(r"^(?:class|def|async def|@)", re.MULTILINE)
BEGINS = re.compile(r"^( *)(?:async )?(def|class|@)", re.MULTILINE)
IMPORTS = re.compile(r"^\s*(?:import|from)\b", re.MULTILINE)
DOES_IO = {"asyncio", "multiprocessing", "selectors", "socket", "subprocess", "threading"}


def layer(module: str) -> str:
    """`"buntime.core.apps.router"` -> `"core"`; `"buntime"`, `"buntime.sdk.files"` -> `"sdk"`."""
    return "sdk" if module in IMPORTED_BY_APPS else module.split(".")[1]


def concern(module: str) -> str:
    """`"buntime.core.apps.router"` -> `"apps"`, `"buntime.core.errors"` -> `"errors.py"`."""
    parts = module.split(".")
    is_package = FILES[module].name == "__init__.py"
    return parts[2] if len(parts) > 3 or is_package else f"{parts[2]}.py"


def imported(module: str, tree: ast.AST) -> Iterator[str]:
    """The full names of the modules that `tree`, a part of `module`, imports."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            is_package = FILES[module].name == "__init__.py"
            parents = module.split(".")[: len(module.split(".")) - node.level + is_package]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                deeper = f"{base}.{alias.name}"
                yield deeper if deeper in FILES else base


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """`tree` and the statements in it, without their expressions: those are most of a tree, and
    import nothing."""
    yield tree
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for part in getattr(tree, name, ()):
            yield from statements(part)


# Not built when this file is imported, because each process of a run imports it.
@cache
def tree_of(module: str) -> ast.Module:
    """A module as far as it imports: parsing what most have below their imports takes seconds."""
    text = FILES[module].read_text("utf-8")
    defined = DEFINES.search(text)
    if defined is not None and not IMPORTS.search(text, defined.start()):
        with contextlib.suppress(SyntaxError):  # that line is inside a string
            return ast.parse(text[: defined.start()])
    return ast.parse(text)


@cache
def imports_of(module: str) -> list[str]:
    """The full names of all modules that this one imports."""
    return list(imported(module, tree_of(module)))


def test_direction() -> None:
    """A module imports only from its own layer and from those below it."""
    wrong = [
        (module, name)
        for module in FILES
        for name in imports_of(module)
        if name.split(".")[0] == "buntime" and layer(name) not in ALLOWED[layer(module)]
    ]
    assert wrong == []


def test_each_folder_has_its_place() -> None:
    """Each folder and module is in a list here; a new one is a mistake, or needs its line here."""
    package = ROOT / "buntime"
    known = {package / name for name in BESIDE | FLAT | {*CONCERNS, SCRIPTS}}
    for name, concerns in CONCERNS.items():
        known |= {package / name / each for each in ["__init__.py", *concerns]}
    layers = [package / name for name in CONCERNS]
    found = {path for folder in (package, *layers) for path in folder.iterdir()}
    deep = {path for folder in known if folder.is_dir() for path in folder.iterdir()}
    found |= {path for path in deep if path.is_dir()}
    assert {path for path in found if path.name != "__pycache__"} == known


@pytest.mark.parametrize("name", CONCERNS)
def test_order_of_concerns(name: str) -> None:
    """A concern imports only from those before it in its layer."""
    modules = {each for each in FILES if each.count(".") > 1 and layer(each) == name}
    place = {module: CONCERNS[name].index(concern(module)) for module in modules}
    wrong = [
        (module, other)
        for module in modules
        for other in modules.intersection(imports_of(module))
        if place[other] > place[module]
    ]
    assert wrong == []


def test_workers_need_no_packages() -> None:
    """What a worker loads imports only the standard library and `buntime`."""
    known = {*sys.stdlib_module_names, "buntime"}
    loaded = [module for module in FILES if layer(module) in IN_A_WORKER]
    assert loaded
    wrong = [
        (module, name)
        for module in loaded
        for name in imports_of(module)
        if name.split(".")[0] not in known
    ]
    assert wrong == []


def test_core_does_no_io() -> None:
    """Core only decides; it leaves sockets, threads and processes to the server."""
    core = [module for module in FILES if layer(module) == "core"]
    assert core
    assert [module for module in core if not DOES_IO.isdisjoint(imports_of(module))] == []


def test_no_cycles() -> None:
    """No module imports itself through others."""
    graph = {name: {*imports_of(name)} - {name} for name in FILES}
    graphlib.TopologicalSorter(graph).prepare()


def test_imports_stand_at_the_top() -> None:
    """An import inside a function is only there to speed up a start, and a comment says why."""
    modules = [module for module in FILES if layer(module) != "__main__"]
    assert [line for module in modules for line in imports_that_stand_deep(module)] == []


def test_what_is_late_is_late() -> None:
    """A runtime that starts imports none of the LATE modules, directly or through others."""
    seen, left = set[str](), ["buntime.server.runtime"]
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += imported_at_once(module) if module in FILES else ()
    assert seen & LATE == set()


def test_nothing_is_too_long() -> None:
    """A module that has grown long has more than one concern; a function, more than one step."""
    long = []
    for module, path in FILES.items():
        text = path.read_text("utf-8")
        if len(text.splitlines()) > LINES_MAX:
            long.append(module)
        for node in ast.walk(ast.parse(text)) if has_long_stretch(text) else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno >= FUNCTION_LINES_MAX:
                    long.append(f"{module}, line {node.lineno}: {node.name}")
    assert long == []


def has_long_stretch(text: str) -> bool:
    """Whether a function may be too long: as far as to what is defined behind it, or to the end.
    Parsing only such modules takes a tenth of the time."""
    found = [(len(m[1]), text.count("\n", 0, m.start()), m[2]) for m in BEGINS.finditer(text)]
    found.append((0, text.count("\n"), ""))
    return any(
        next(line for deep, line, _ in found[at:] if deep <= indent) - start >= FUNCTION_LINES_MAX
        for at, (indent, start, kind) in enumerate(found, 1)
        if kind == "def"
    )


@pytest.mark.parametrize("before", ["", "class A:\n  ", "def f():\n  async ", "class A:\n  @a\n  "])
@pytest.mark.parametrize("behind", ["", "def g(): ...\n", "  class B: ...\n"])
def test_a_long_stretch(before: str, behind: str) -> None:
    """A function of the first length that is too long may be so, wherever it stands."""
    first, line = f"{before}def h():\n", "      a\n"
    assert has_long_stretch(first + line * (FUNCTION_LINES_MAX - 1) + behind)
    assert not has_long_stretch(first + line * (FUNCTION_LINES_MAX - 4) + behind)


def imported_at_once(module: str) -> Iterator[str]:
    """What a module imports when it is imported: not inside a function, and not for types only."""
    for node in tree_of(module).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(module, node)


def imports_that_stand_deep(module: str) -> list[str]:
    """Imports inside functions of a module that are not allowed."""
    lines = FILES[module].read_text("utf-8").splitlines()
    unexplained = []
    for function in statements(tree_of(module)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in statements(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    said = "#" in lines[node.lineno - 1] or "#" in lines[node.lineno - 2]
                    is_late = LATE.issuperset(imported(module, node))
                    if not (said and (layer(module) in IN_A_WORKER or is_late)):
                        line = lines[node.lineno - 1].strip()
                        unexplained.append(f"{module}, line {node.lineno}: {line}")
    return unexplained
