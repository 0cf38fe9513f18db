"""Imports modules without others that they use for what nobody sees.

`dataclasses` needs `inspect` for the docstring of a class that has none, as one of h11's: it is
`Name(...)` here instead of `Name(field: type)`. `argparse` needs `gettext`, which looks in four
folders for a translation of each word, and Python has none. `subprocess` needs `locale` for pipes
that are read as text. Together they take a twentieth of a start-up. Whatever else imports one of
`inspect`, `gettext` and `locale` gets the real one.

Of `h11` a server uses `Request` and its errors. Its connection takes 10 million instructions of a
start to import, the methods of its dataclasses, which compare and show them, take 13 million to
compile, and the bound of a type variable, which is a string, takes 10 million: it is compiled, and
the first use of `compile` prepares the classes of syntax trees.
"""

import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar


def import_lightly() -> None:
    """Call this before anything else imports one of these; what has been imported stays."""
    _import("dataclasses", _Inspect("inspect"))
    _import("argparse", _Gettext("gettext"))


def import_subprocess() -> None:
    """The same for `subprocess`, which few commands need."""
    _import("subprocess", _Locale("locale"))


def import_h11() -> None:
    """The same for `h11`, which a server needs; its connection is imported when it is used."""
    if "h11" in sys.modules:
        return
    connection = _Connection("h11._connection")
    with _standing_in(_Dataclasses("dataclasses"), _Typing("typing"), connection):
        h11 = import_module("h11")
    for name in connection.asked_for:
        delattr(h11, name)
    setattr(h11, "__getattr__", _of_connection)  # noqa: B010  # mypy knows it as a method


def _import(name: str, stand_in: ModuleType) -> None:
    if name not in sys.modules and stand_in.__name__ not in sys.modules:
        with _standing_in(stand_in):
            import_module(name)


@contextmanager
def _standing_in(*modules: ModuleType) -> Iterator[None]:
    """While this is entered, importing a module of these names gives these."""
    before = {each.__name__: sys.modules.get(each.__name__) for each in modules}
    sys.modules |= {each.__name__: each for each in modules}
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _of_connection(name: str) -> Any:
    """What `h11` has of its connection; as for all modules, AttributeError if it has no `name`."""
    if name.startswith("__"):  # `from h11 import ...` asks for these
        raise AttributeError(f"module 'h11' has no attribute {name!r}")
    return getattr(import_module("h11._connection"), name)


class _Inspect(ModuleType):
    """What `dataclasses` knows as `inspect`."""

    def signature(self, _: object) -> str:
        return "(...)"

    def __getattr__(self, name: str) -> Any:  # for a newer `dataclasses`, which asks for more
        return getattr(import_module("inspect"), name)


class _Locale(ModuleType):
    """What `subprocess` knows as `locale`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("locale"), name)


class _Gettext(ModuleType):
    """What `argparse` knows as `gettext`."""

    def gettext(self, message: str) -> str:
        return message

    def ngettext(self, one: str, several: str, count: int) -> str:
        return one if count == 1 else several


class _Dataclasses(ModuleType):
    """What `h11` knows as `dataclasses`."""

    def dataclass(self, *_: type, **__: bool) -> Any:
        return lambda cls: cls


class _Typing(ModuleType):
    """What `h11` knows as `typing`."""

    def TypeVar(self, name: str, **_: Any) -> TypeVar:  # noqa: N802  # its name there
        return TypeVar(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(typing, name)


class _Connection(ModuleType):
    """What `h11` knows as its connection."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked_for: list[str] = []

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        self.asked_for.append(name)
