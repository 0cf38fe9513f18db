"""Imports modules of the standard library without others that they use for what nobody sees.

`dataclasses` needs `inspect` for the docstring of a class that has none, as one of h11's: it is
`Name(...)` here instead of `Name(field: type)`. `argparse` needs `gettext`, which looks in four
folders for a translation of each word, and Python has none. `subprocess` needs `locale` for pipes
that are read as text. Together they take a twentieth of a start-up. Whatever else imports one of
`inspect`, `gettext` and `locale` gets the real one.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def import_lightly() -> None:
    """Call this before anything else imports one of these; what has been imported stays."""
    _import("dataclasses", _Inspect("inspect"))
    _import("argparse", _Gettext("gettext"))


def import_subprocess() -> None:
    """The same for `subprocess`, which few commands need."""
    _import("subprocess", _Locale("locale"))


def _import(name: str, stand_in: ModuleType) -> None:
    needed = stand_in.__name__
    if name in sys.modules or needed in sys.modules:
        return
    sys.modules[needed] = stand_in
    try:
        import_module(name)
    finally:
        del sys.modules[needed]


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
