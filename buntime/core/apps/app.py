"""An app as the runtime knows it: one version of one name, in one folder, with one manifest.

`server/apps` finds out where an app's files are and whether they exist; this is the result. An
`App` never changes: when its folder changes, another one replaces it, so "is it the same object?"
answers "has it changed?".
"""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path, PurePath

from buntime.core.access.publicroutes import BothPublic, PublicRoutes
from buntime.core.apps.manifest import Manifest
from buntime.core.errors import ManifestError
from buntime.core.values.frozen import frozen
from buntime.core.values.tuples import NamedTuple

# Looked for in this order where the manifest names no entrypoint. A folder with one of each kind is
# refused: we must not guess that it is a site, which would show all its files.
HTML_ENTRYPOINTS = ("index.html",)
PYTHON_ENTRYPOINTS = ("index.py", "app.py", "main.py", "wsgi.py", "asgi.py")
DEFAULT_ENTRYPOINTS = HTML_ENTRYPOINTS + PYTHON_ENTRYPOINTS

RELEASES = ".releases"  # the folder of everything that the API has unpacked

_STATIC_SUFFIXES = frozenset((".html", ".htm"))
_PYTHON_SUFFIX = ".py"


@frozen(eq=False)
class App:
    """An app that can be served. Compared by identity, see above.

    `version` is as its folder says ("1.2.0", "latest"), None where the folder has none. `dir` is
    absolute, with links resolved; `entrypoint` is relative to it. `source` is the file to name in
    messages about the app's settings: its manifest, else its folder, as the operator wrote it.

    `plugin` is what only a plugin's worker is told; None for an app. A plugin's `name` is
    "plugin:audit", and its `base` is where its routes are.
    """

    name: str
    version: str | None
    dir: Path
    entrypoint: str
    manifest: Manifest
    source: Path
    # Set where this is another app's code with less access, see `stricter.py`.
    runs: "App | None" = field(default=None, repr=False)
    routes: BothPublic | None = field(default=None, repr=False)
    plugin: Mapping[str, object] | None = field(default=None, repr=False)
    base: str = ""  # plugins only; an app's base follows from its name
    overlaps: bool = True  # may a plugin's worker serve while the next one starts?
    cron_only: frozenset[str] = frozenset()  # paths that only its jobs may request; see stricter.py

    # Derived from the above, once, because every request needs them.
    key: str = field(init=False)  # "shop@1.2.0", "shop"
    is_static: bool = field(init=False)
    public_routes: PublicRoutes | BothPublic = field(init=False, repr=False)
    closed_paths: frozenset[str] = field(init=False, repr=False)  # except to its own jobs
    # Whether HTML gets a `<base href>`: as the manifest says; by default only for static sites.
    injects_base: bool = field(init=False)
    has_affinity: bool = field(init=False)  # by a cookie, see `manifest.affinity`

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the only way to set a field in a frozen class
        set_field(self, "key", app_key(self.name, self.version))
        set_field(self, "is_static", PurePath(self.entrypoint).suffix.lower() in _STATIC_SUFFIXES)
        routes = self.routes or PublicRoutes(self.manifest.public_routes)
        set_field(self, "public_routes", routes)
        set_field(self, "closed_paths", closed_paths(self.manifest) | self.cron_only)
        set_field(self, "has_affinity", self.manifest.affinity == "cookie")
        chosen = self.manifest.inject_base
        set_field(self, "injects_base", self.is_static if chosen is None else chosen)

    @property
    def code(self) -> "App":
        """The app whose workers answer: itself, unless its access was tightened."""
        return self.runs or self

    @property
    def came_by_api(self) -> bool:
        """Whether its folder is a release that the API unpacked."""
        return RELEASES in self.dir.parts

    @property
    def serves(self) -> str:
        """What in its module is served: `"create_app()"`; "" where the manifest does not say."""
        return (self.manifest.entrypoint or "").partition(":")[2]

    @property
    def import_roots(self) -> tuple[str, ...]:
        """Folders to import its modules from, besides its own; relative ones are below that one."""
        variable = self.manifest.env.get("PYTHONPATH", "")
        return tuple(dict.fromkeys((*self.manifest.path, *filter(None, variable.split(":")))))

    @property
    def usual_base(self) -> str:
        """Its path without a version, for code that must know it while it loads: `"/shop"`.

        "" for an app that has hosts of its own.
        """
        return self.base or ("" if self.manifest.hosts else f"/{self.name}")


def closed_paths(manifest: Manifest) -> frozenset[str]:
    """Paths of `cronOnly` jobs, without a trailing slash: only the jobs may request them."""
    paths = (job.bare_path for job in manifest.cron if job.cron_only)
    return frozenset(path.rstrip("/") for path in paths if path is not None)


class Fault(NamedTuple):
    """A folder that cannot be served as it is, and why."""

    name: str
    version: str | None
    folder: Path
    error: str
    hosts: tuple[str, ...] = ()  # the hosts that it names, if they can be read

    @property
    def key(self) -> str:
        """As for the app it would be: "shop@1.2.0"."""
        return app_key(self.name, self.version)


class FaultyApp(ManifestError):
    """The requested app exists but cannot be served."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.error)
        self.fault = fault


def entrypoint_files(wanted: str, roots: tuple[str, ...]) -> tuple[str, ...]:
    """Candidates for the entrypoint, relative to the app's folder; the first that exists is used.

    `"src/app.py:server"` -> `("src/app.py",)`, `"shop.wsgi:app"` -> `("shop/wsgi.py", ...)`: a
    module that names what to serve may also be in any of the `roots`.
    """
    target, colon, _ = wanted.partition(":")
    if not colon or is_servable(target):
        return (target,)
    plain = target.replace(".", "/")
    below = (f"{root}/{plain}" if root else plain for root in ("", *roots))
    return tuple(f"{each}{end}" for each in below for end in (".py", "/__init__.py"))


def app_key(name: str, version: str | None) -> str:
    """`("shop", "1.2.0")` -> "shop@1.2.0": the name of an app in logs, metrics and the API."""
    return name if version is None else f"{name}@{version}"


def is_servable(entrypoint: str) -> bool:
    """Whether a file of this name can be an entrypoint: Python to run, or HTML to serve."""
    suffix = PurePath(entrypoint).suffix.lower()
    return suffix == _PYTHON_SUFFIX or suffix in _STATIC_SUFFIXES
