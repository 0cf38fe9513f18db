"""Where the releases of an app and the links to them are in a worker folder, and what blocks these
places.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from buntime.core.apps.app import RELEASES
from buntime.core.apps.versions import LATEST
from buntime.core.deploys.names import folder_of_app
from buntime.core.errors import ClientFault
from buntime.core.values.tuples import NamedTuple
from buntime.server.apps.appfolder import holds_app
from buntime.server.deploys.switching import is_real


class Layout(NamedTuple):
    """Where the links of an app are, below the worker folder."""

    folder: str  # the folder that holds them: "shop", "", "@acme"
    begin: str  # how their names begin: "", "shop@"

    def path_of(self, version: str) -> str:
        """`"1.2.0"` -> "shop/1.2.0", "shop@1.2.0"."""
        return os.path.join(self.folder, f"{self.begin}{version}")

    @property
    def is_flat(self) -> bool:
        return bool(self.begin)


class Places:
    """The places in one worker folder; `earlier` are worker folders that hide what is in it."""

    def __init__(self, root: str, earlier: Sequence[str] = ()) -> None:
        self.root = root
        self.earlier = tuple(earlier)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root})"

    def folder_of(self, app: str) -> str:
        """The folder that holds the releases of an app."""
        return os.path.join(self.root, RELEASES, folder_of_app(app))

    def layout_of(self, app: str) -> Layout:
        """Where its links are. Raises ClientFault (409) if something else is in the way."""
        path = os.path.join(self.root, app)
        if os.path.isdir(path) and holds_app(Path(path)):
            return Layout(os.path.dirname(app), f"{os.path.basename(app)}@")
        if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
            raise ClientFault(
                409,
                "app_in_the_way",
                f"{path} is not a folder with versions; move it away to deploy {app}",
            )
        return Layout(app, "")

    def check_free(self, app: str, version: str, *, replaces: bool = False) -> None:
        """Raises ClientFault (409), with the paths, if the version cannot be deployed here."""
        layout = self.layout_of(app)
        path = os.path.join(self.root, layout.path_of(version))
        self.check_active(app)
        if is_real(path):
            raise ClientFault(
                409,
                "version_exists",
                f"{path} was not made by a deploy; choose another version, or move it away",
            )
        if os.path.lexists(path) and not replaces:
            raise ClientFault(
                409,
                "version_exists",
                f"{app}@{version} already exists with other content; choose another version, or "
                "replace it (--replace, ?replace=1)",
            )
        hiding = [
            each for each in self._named(app, version) if each != path and os.path.lexists(each)
        ]
        if hiding:
            raise _hidden(hiding[0], path)

    def check_active(self, app: str) -> None:
        """Raises ClientFault (409) if no link can say which version is active."""
        path = os.path.join(self.root, self.layout_of(app).path_of(LATEST))
        if is_real(path):
            raise ClientFault(
                409,
                "latest_is_folder",
                f"{path} is a folder, not a link, and is served as it is; rename it to its "
                f"version, so that {os.path.dirname(path)} can have deploys",
            )
        hiding = [
            each for each in self._named(app, LATEST) if each != path and os.path.lexists(each)
        ]
        if hiding:
            raise _hidden(hiding[0], path)

    def _named(self, app: str, version: str) -> Iterator[str]:
        """All paths whose folder would be this version; those in this worker folder come last."""
        for root in (*self.earlier, self.root):
            if not (os.path.isdir(os.path.join(root, app)) and holds_app(Path(root, app))):
                yield os.path.join(root, app, version)
            yield os.path.join(root, f"{app}@{version}")


def _hidden(other: str, path: str) -> ClientFault:
    return ClientFault(
        409, "version_hidden", f"{other} would be served instead of {path}; move it away"
    )
