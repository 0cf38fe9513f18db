"""Orders for what runs before an app starts: probes of its Python, installations.

Called on threads that may wait, so each order is made from its own look at the surroundings.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from buntime.core.apps.app import App
from buntime.core.sandbox.kernel import Kernel
from buntime.core.sandbox.order import at_start, make_order
from buntime.core.sandbox.plan import AppPaths, plan
from buntime.server.pythons.confinement import Workshop
from buntime.server.pythons.identity import Identity
from buntime.server.pythons.uvprogram import find_uv
from buntime.server.sandbox.around import Around, prefixes, python_roots, wanted
from buntime.server.sandbox.listing import Listing, existing
from buntime.server.sandbox.scratch import Scratch
from buntime.wire import Message

# Where pip and what it builds look for their settings and for certificates.
_PIP_PATHS = ("/etc/pip.conf", "/etc/xdg/pip", "~/.pip", "~/.config/pip", "~/.netrc")
_PIP_VARIABLES = (
    *("PIP_CONFIG_FILE", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_FIND_LINKS", "XDG_CONFIG_HOME"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
)


class Starts:
    """See `Confinement`."""

    def __init__(
        self, kernel: Kernel, around: Around, scratch: Scratch, program: Callable[[], bytes]
    ) -> None:
        """`program` gives the filter of system calls."""
        self._kernel = kernel
        self._around = around
        self._scratch = scratch
        self._program = program

    def is_own(self, app: App, executable: str) -> bool:
        return self._around.is_own(app, executable)

    def for_look(self, app: App, executable: str, user: Identity | None) -> Message | None:
        listing = Listing(_pass_by)
        paths = AppPaths(
            folder=str(app.dir),
            versions=tuple(self._around.versions(app.name, listing)),
            kept=(),
            wanted=(),
            python=tuple(python_roots(app, executable)),
            told=tuple(map(os.path.realpath, prefixes(executable))),
        )
        return self._order(app, paths, listing, user)

    def for_install(self, app: App, python: str, home: Path, user: Identity | None) -> Workshop:
        if not self._is_confined(app):
            return Workshop(user)
        scratch = self._scratch.folder_of(app.name, user)
        listing = Listing(_pass_by)
        paths = AppPaths(
            folder=str(app.dir),
            versions=tuple(self._around.versions(app.name, listing)),
            kept=tuple(filter(None, (os.path.realpath(home), scratch))),
            wanted=(),
            python=tuple(map(os.path.realpath, (*prefixes(python), *self._uv()))),
            read=existing((*self._pip_paths(user), *wanted(app))),
            is_built=True,
        )
        return Workshop(user, self._order(app, paths, listing, user), scratch)

    def _order(
        self, app: App, paths: AppPaths, listing: Listing, user: Identity | None
    ) -> Message | None:
        if not self._is_confined(app):
            return None
        level = app.manifest.sandbox
        around = self._around.surroundings(listing, self._scratch.elsewhere)
        made = plan(level, paths, around, listing.entries)
        program = self._program()
        order = make_order(level, made.rules, self._kernel, program=program, capabilities=[])
        return at_start(order, is_root=os.geteuid() == 0, becomes_user=user is not None)

    def _is_confined(self, app: App) -> bool:
        return self._kernel.is_fit and app.manifest.sandbox != "off"

    def _uv(self) -> Iterable[str]:
        found = find_uv({"PATH": self._around.path})
        return () if found is None else (found,)

    def _pip_paths(self, user: Identity | None) -> Iterable[str]:
        home = self._around.home if user is None else user.home
        yield from (path.replace("~", home, 1) for path in _PIP_PATHS)
        yield from self._around.named_by(_PIP_VARIABLES)


def _pass_by(folder: str, count: int) -> None:
    """A crowded folder is reported when the app's workers start."""
