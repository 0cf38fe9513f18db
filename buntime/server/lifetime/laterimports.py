"""Imports what no start needs, a second later: before a request, or trouble, has to wait for it.

In trouble it might fail: a process without free descriptors cannot open a module's file.
"""

from functools import partial
from importlib import import_module

from buntime.server.loop.loop import Loop

_FIRST_S = 1.0
_PAUSE_S = 0.05  # each takes the loop some milliseconds
_MODULES = ("traceback", "hashlib", "hmac", "random")


def import_later(loop: Loop) -> None:
    """Import them while the loop runs, one after the other."""
    for number, name in enumerate(_MODULES):
        loop.call_later(_FIRST_S + number * _PAUSE_S, partial(_import, name))


def _import(name: str) -> None:
    import_module(name)
