"""Everything that apps and plugins may meet has a name that they can import."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("buntime", "buntime.plugin", "buntime.keyval", "buntime.tuples")
# Parts of the sdk that an app never gets: how calls and bodies arrive, and building blocks.
INNER = {
    *("Source", "AsyncSource", "Waiter", "State", "Link", "AsyncLink", "AsyncCall", "Head"),
    *("EventStream", "AsyncEventStream", "FileBody", "Pieces", "AsyncPieces", "Generic"),
    *("cached_property", "Log"),
}


def classes() -> dict[str, ast.ClassDef]:
    """The public classes of the sdk, by name."""
    trees = [ast.parse(path.read_bytes()) for path in (ROOT / "buntime/sdk").glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {node.name: node for node in nodes if not node.name.startswith("_")}


def exported() -> set[str]:
    return {name for module in MODULES for name in importlib.import_module(module).__all__}


@pytest.mark.parametrize("module", MODULES)
def test_all(module: str) -> None:
    """Each name in a module's `__all__` exists, in sorted order, and `dir` lists it."""
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__) == loaded.__all__
    assert set(loaded.__all__) <= set(dir(loaded))
    assert all(getattr(loaded, name) is not None for name in loaded.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        loaded.nothing  # noqa: B018  # the look-up is what is tested


def test_exceptions() -> None:
    """Each exception of the sdk can be imported in order to catch it."""
    raised = {
        name
        for name, node in classes().items()
        if any(isinstance(base, ast.Name) and base.id.endswith(KINDS) for base in node.bases)
    }
    assert raised == {"BadBody", "BadForm", "ClientGone", "ServiceError", "WebSocketClosed"}
    assert raised <= exported()


KINDS = ("Error", "Exception", "BadBody")


def test_what_is_handed_out() -> None:
    """What methods of exported classes return, and what attributes hold, is exported too."""
    known, names = classes(), exported()
    told = {
        word
        for name in names & set(known)
        for node in ast.walk(known[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign)
        and not (isinstance(node, ast.FunctionDef) and node.name.startswith("_"))
        for note in [node.annotation if isinstance(node, ast.AnnAssign) else node.returns]
        if note is not None
        for word in re.findall(r"\w+", ast.unparse(note))
    }
    assert (told & set(known)) - names - INNER == set()
    assert set(known) - names == INNER


def test_nothing_more_is_loaded() -> None:
    """An app that only says hello loads just the modules that it names."""
    code = "import sys; from buntime import Request, Response, Form, Query, BadBody, ClientGone;"
    code += "print(*sorted(name for name in sys.modules if name.startswith('buntime')))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    sdk = "buntime buntime.sdk buntime.sdk.cookies buntime.sdk.fields buntime.sdk.request"
    assert done.stdout.split() == f"{sdk} buntime.sdk.response".split()
