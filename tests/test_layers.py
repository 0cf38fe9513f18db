"""Imports point one way: message <- wire <- worker, message <- wire <- core <- server <- commands.

Worker and server never meet. A worker is started with nothing but the
standard library and the layers below it, so an import that breaks this rule breaks workers.
"""

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "buntime").rglob("*.py"))
}
TREES = {name: ast.parse(path.read_bytes()) for name, path in FILES.items()}

# Layer -> the layers it may import. What an app imports, buntime/__init__ and the modules beside
# it, is the layer "message".
ALLOWED = {
    "message": {"message"},
    "wire": {"message", "wire"},
    "worker": {"message", "wire", "worker"},
    "core": {"message", "wire", "core"},
    "server": {"message", "wire", "core", "server"},
    "commands": {"message", "wire", "core", "server", "commands"},
    "__main__": {"message", "wire", "core", "commands", "__main__"},
}
IN_A_WORKER = ("message", "wire", "worker")
# Takes so long to import that the runtime does not, until somebody wants it.
LATE = {
    "buntime.core.document",
    "buntime.server.exposition",
    "buntime.server.installer",
    "buntime.server.socketlink",
    "buntime.server.unpacking",
    "concurrent.futures",
    "html",
    "shutil",
}
DOES_IO = {"asyncio", "multiprocessing", "selectors", "socket", "subprocess", "threading"}


def layer(module: str) -> str:
    """`"buntime.core.router"` -> `"core"`, `"buntime.message"` and `"buntime"` -> `"message"`."""
    part = [*module.split("."), ""][1]
    return part if part in ALLOWED else "message"


def imported(module: str, tree: ast.AST) -> Iterator[str]:
    """The full names of the modules that `tree`, a piece of `module`, imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            is_package = FILES[module].name == "__init__.py"
            parents = module.split(".")[: len(module.split(".")) - node.level + is_package]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                deeper = f"{base}.{alias.name}"
                yield deeper if deeper in FILES else base


@pytest.mark.parametrize("module", FILES)
def test_direction(module: str) -> None:
    """A module imports from its own layer and from those below it, and from no other."""
    ours = {name for name in imported(module, TREES[module]) if name.split(".")[0] == "buntime"}
    assert [name for name in ours if layer(name) not in ALLOWED[layer(module)]] == []


@pytest.mark.parametrize("module", [name for name in FILES if layer(name) in IN_A_WORKER])
def test_workers_need_no_packages(module: str) -> None:
    """What a worker loads imports the standard library and `buntime`, nothing else."""
    roots = {name.split(".")[0] for name in imported(module, TREES[module])}
    assert roots - sys.stdlib_module_names - {"buntime"} == set()


@pytest.mark.parametrize("module", [name for name in FILES if layer(name) == "core"])
def test_core_does_no_io(module: str) -> None:
    """Core decides and leaves sockets, threads and processes to the server."""
    assert DOES_IO.isdisjoint(imported(module, TREES[module]))


def test_no_cycles() -> None:
    """No module imports itself by way of others."""
    graph = {name: set(imported(name, tree)) - {name} for name, tree in TREES.items()}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", [name for name in FILES if layer(name) != "__main__"])
def test_imports_stand_at_the_top(module: str) -> None:
    """No import inside a function, but for the sake of a start, with the reason beside it."""
    lines = FILES[module].read_text("utf-8").splitlines()
    unexplained = []
    for function in ast.walk(TREES[module]):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    said = "#" in lines[node.lineno - 1] or "#" in lines[node.lineno - 2]
                    is_late = LATE.issuperset(imported(module, node))
                    if not (said and (layer(module) in IN_A_WORKER or is_late)):
                        unexplained.append(f"line {node.lineno}: {lines[node.lineno - 1].strip()}")
    assert unexplained == []
