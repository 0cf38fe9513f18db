"""Starts programs of apps in the app's sandbox; server/sandbox/ implements it for the runtime.

An app that can change its interpreter, or what that imports, controls what it does at its start.
"""

from pathlib import Path

from buntime.core.apps.app import App
from buntime.core.values.protocols import Protocol
from buntime.core.values.tuples import NamedTuple
from buntime.server.pythons.identity import Identity
from buntime.wire import Message


class Workshop(NamedTuple):
    """How packages are installed."""

    user: Identity | None = None  # as which user, None: the runtime's own
    order: Message | None = None  # in which sandbox
    scratch: str | None = None  # a folder for temporary files, None: the system's


class Confinement(Protocol):
    """May be called on any thread."""

    def is_own(self, app: App, executable: str) -> bool:
        """Whether apps can change the Python at `executable`."""

    def for_look(self, app: App, executable: str, user: Identity | None) -> Message | None:
        """The order for a first look at an app's own Python."""

    def for_install(self, app: App, python: str, home: Path, user: Identity | None) -> Workshop:
        """For an installation into `home` by a Python."""


class Unconfined:
    """Used if there are no sandboxes."""

    def is_own(self, app: App, executable: str) -> bool:
        return False

    def for_look(self, app: App, executable: str, user: Identity | None) -> Message | None:
        return None

    def for_install(self, app: App, python: str, home: Path, user: Identity | None) -> Workshop:
        return Workshop(user)
