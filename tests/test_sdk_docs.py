"""The pages describe every name that apps, plugins and their tests import, and its arguments."""

from __future__ import annotations

import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from types import FunctionType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "buntime": ("sdk", "streaming"),
    "buntime.plugin": ("sdk",),
    "buntime.keyval": ("keyval",),
    "buntime.tuples": ("keyval",),
    "buntime.testing": ("testing",),
}
NAMES = [(module, name) for module in PAGES for name in importlib.import_module(module).__all__]
each_name = pytest.mark.parametrize(
    ("module", "name"), NAMES, ids=[f"{module}.{name}" for module, name in NAMES]
)
# Methods that streams and sessions of `buntime.testing` call.
BETWEEN = {"deadline", "fail", "finish", "framed", "leave", "opened"}
_ATTRIBUTE = re.compile(r"^        self\.([a-z]\w*)(?:: [^=\n]+)? = ", re.MULTILINE)


@cache
def described(module: str) -> str:
    """All inline code of a module's pages, a line each."""
    pages = [(ROOT / f"docs/{name}.md").read_text("utf-8") for name in PAGES[module]]
    text = re.sub(r"^```.*?^```$", "", "\n".join(pages), flags=re.MULTILINE | re.DOTALL)
    return "\n".join(" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text))


def call(name: str, function: FunctionType) -> str:
    """`"get(name, default=None)"`."""
    shown, is_named = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not is_named:
            shown.append("*")
            is_named = True
        default = parameter.default
        value = "" if default is parameter.empty else f"={default!r}".replace("'", '"')
        shown.append(f"{parameter.name}{value}")
    return f"{name}({', '.join(shown)})"


@cache  # reading the source of a class parses its file
def members(kind: type) -> dict[str, object]:
    """What can be used of an object of a class of ours."""
    ours = [each for each in kind.__mro__ if each.__module__.startswith("buntime")]
    found: dict[str, object] = {}
    for each in reversed(ours):
        found |= dict.fromkeys(_ATTRIBUTE.findall(inspect.getsource(each)))
        found |= vars(each)
    return {name: value for name, value in found.items() if name[0] != "_" and name not in BETWEEN}


@each_name
def test_names(module: str, name: str) -> None:
    """Each name of a module's `__all__` is on its page, and so is each member of a class."""
    code = described(module)
    thing = getattr(importlib.import_module(module), name)
    wanted = [name]
    if inspect.isclass(thing):
        wanted += members(thing)
    missing = [each for each in wanted if not re.search(rf"(?<![\w/-]){each}(?![\w-])", code)]
    assert missing == []


@each_name
def test_arguments(module: str, name: str) -> None:
    """A page shows the arguments of each function and method that has optional ones."""
    thing = getattr(importlib.import_module(module), name)
    functions = {name: thing}
    if inspect.isclass(thing):
        functions = {
            each: getattr(value, "__func__", value) for each, value in members(thing).items()
        }
    missing = []
    for each, function in functions.items():
        if not isinstance(function, FunctionType) or "options" in str(inspect.signature(function)):
            continue  # those of `Client.get` and the like are those of `Client.request`
        shown = call(each, function)
        if "=" in shown and shown not in described(module).splitlines():
            missing.append(shown)
    assert missing == []
