"""An app as the runtime knows it: one version of one name, in one folder, with one manifest.

Where its files lie and whether they are there is found out by `server/apps`; this is what came of
it. An `App` never changes: when its folder does, it is replaced by another one, so that "is it
the same object?" answers "has it changed?".
"""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path, PurePath

from buntime.core.access.publicroutes import BothPublic, PublicRoutes
from buntime.core.apps.manifest import Manifest
from buntime.core.errors import ManifestError
from buntime.core.values.frozen import frozen
from buntime.core.values.tuples import NamedTuple

# Looked for in this order where the manifest names none. A folder with one of each kind is
# refused: whether it is a site, which shows all its files, is not for us to guess.
HTML_ENTRYPOINTS = ("index.html",)
PYTHON_ENTRYPOINTS = ("index.py", "app.py", "main.py", "wsgi.py", "asgi.py")
DEFAULT_ENTRYPOINTS = HTML_ENTRYPOINTS + PYTHON_ENTRYPOINTS

RELEASES = ".releases"  # the folder of all that the API has unpacked

_STATIC_SUFFIXES = frozenset((".html", ".htm"))
_PYTHON_SUFFIX = ".py"


@frozen(eq=False)
class App:
    """An app that can be served. Compares by identity, see above.

    `version` is as its folder says ("1.2.0", "latest"), None where it says nothing. `dir` is
    absolute, its links resolved; `entrypoint` is relative to it. `source` is the file to name in
    messages about the app's settings: its manifest, else its folder, as the operator wrote it.

    `plugin` is what the worker of a plugin is told beside what all workers are; None for an app. A
    plugin's `name` is "plugin:audit", and `base` where its routes are.
    """

    name: str
    version: str | None
    dir: Path
    entrypoint: str
    manifest: Manifest
    source: Path
    # Where it is another app's code with less access, see `stricter.py`.
    runs: "App | None" = field(default=None, repr=False)
    routes: BothPublic | None = field(default=None, repr=False)
    plugin: Mapping[str, object] | None = field(default=None, repr=False)
    base: str = ""  # of a plugin; an app's is its name
    overlaps: bool = True  # a plugin's worker may serve while the next one starts
    cron_only: frozenset[str] = (
        frozenset()
    )  # paths that its jobs alone may ask for; see stricter.py

    # What follows from the above, made once: they are asked for by each request.
    key: str = field(init=False)  # "shop@1.2.0", "shop"
    is_static: bool = field(init=False)
    public_routes: PublicRoutes | BothPublic = field(init=False, repr=False)
    closed_paths: frozenset[str] = field(init=False, repr=False)  # but for its own jobs
    # Whether HTML gets a `<base href>`: as the manifest says, else for static sites.
    injects_base: bool = field(init=False)
    has_affinity: bool = field(init=False)  # by a cookie, see `manifest.affinity`

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the only way in a frozen class
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
        """The app whose workers answer: itself, but for one whose access was tightened."""
        return self.runs or self

    @property
    def came_by_api(self) -> bool:
        """Whether its folder is a release that the API has unpacked."""
        return RELEASES in self.dir.parts

    @property
    def serves(self) -> str:
        """What of its module is served: `"create_app()"`; "" where the manifest does not say."""
        return (self.manifest.entrypoint or "").partition(":")[2]

    @property
    def import_roots(self) -> tuple[str, ...]:
        """Folders that its modules are imported from beside its own, relative ones below that."""
        variable = self.manifest.env.get("PYTHONPATH", "")
        return tuple(dict.fromkeys((*self.manifest.path, *filter(None, variable.split(":")))))

    @property
    def usual_base(self) -> str:
        """Where it is without a version, for code that must know while it loads: `"/shop"`.

        "" of an app that has hosts of its own.
        """
        return self.base or ("" if self.manifest.hosts else f"/{self.name}")


def closed_paths(manifest: Manifest) -> frozenset[str]:
    """Paths of jobs that say `cronOnly`, without a slash at the end: for the jobs alone."""
    paths = (job.bare_path for job in manifest.cron if job.cron_only)
    return frozenset(path.rstrip("/") for path in paths if path is not None)


class Fault(NamedTuple):
    """An app's folder that cannot be served as it is, and why."""

    name: str
    version: str | None
    folder: Path
    error: str
    hosts: tuple[str, ...] = ()  # that it names, as far as they can be read

    @property
    def key(self) -> str:
        """As of the app it would be: "shop@1.2.0"."""
        return app_key(self.name, self.version)


class FaultyApp(ManifestError):
    """What was asked for is there, and cannot be served."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.error)
        self.fault = fault


def entrypoint_files(wanted: str, roots: tuple[str, ...]) -> tuple[str, ...]:
    """The files of which the first that is there is the entrypoint, relative to the app's folder.

    `"src/app.py:server"` -> `("src/app.py",)`, `"shop.wsgi:app"` -> `("shop/wsgi.py", ...)`: a
    module, of which something is to be served, may lie in each of the `roots` too.
    """
    target, colon, _ = wanted.partition(":")
    if not colon or is_servable(target):
        return (target,)
    plain = target.replace(".", "/")
    below = (f"{root}/{plain}" if root else plain for root in ("", *roots))
    return tuple(f"{each}{end}" for each in below for end in (".py", "/__init__.py"))


def app_key(name: str, version: str | None) -> str:
    """`("shop", "1.2.0")` -> "shop@1.2.0": what an app is called in logs, metrics and the API."""
    return name if version is None else f"{name}@{version}"


def is_servable(entrypoint: str) -> bool:
    """Whether a file of this name can be an entrypoint: Python to run, or HTML to serve."""
    suffix = PurePath(entrypoint).suffix.lower()
    return suffix == _PYTHON_SUFFIX or suffix in _STATIC_SUFFIXES
