"""Decides which state of an app's code serves, and which change is being tried.

A change serves once a worker has loaded it. Until then the state before, which is *proven*, keeps
serving. `choose` is asked about a new app and the one that served before it:

    new and proven       proven       serves                      new
    ------------------   ----------   -------------------------   -----------------------------
    proven is static                  new
    the same key         no workers   new
    the same key         workers      proven                      is tried BESIDE it
    another version      no workers   new, unless it has failed   is tried APART, see below
    another version      workers      proven                      is tried APART

A version APART has a folder and a key of its own, so either of the two can be started at any time,
and requests that were admitted for the new one fall back to the proven one if the boot fails. That
requires two public apps, and a proven one that stays; in any other case the proven one serves. If
the code in one folder has changed, only the workers that have loaded the old code can serve it:
once they are gone the new code serves, whatever it is.

Invariants: one deployment serves under a key, and at most one with another `App` is tried beside
it. What is proven stays proven: if its boots fail later, the scheduler backs off.

Not modelled: development, where each change serves at once; and the interpreter of an app, which
must exist before the app can be tried.
"""

from typing import Generic, TypeVar
from weakref import WeakSet

from buntime.core.apps.app import App
from buntime.core.apps.versions import UNVERSIONED, select
from buntime.core.values.enums import Enum
from buntime.core.values.protocols import Protocol
from buntime.core.values.tuples import NamedTuple


class Deployable(Protocol):
    """One state of an app's code, as far as the rollout needs it."""

    fallback: App | None  # answers the requests for this one if its boot fails

    @property
    def app(self) -> App: ...
    @property
    def has_failed(self) -> bool:
        """Whether its last boot failed."""

    def has_workers(self) -> bool:
        """Whether a worker has loaded it and serves."""


D = TypeVar("D", bound=Deployable)


class Placement(Enum):
    """Where a change is tried."""

    BESIDE = "beside"  # under the same key; replaces the serving one once it has loaded
    APART = "apart"  # under a key of its own


class Choice(NamedTuple):
    """What serves now, and where the new app is to be tried."""

    serves: App
    placement: Placement | None = None


class Rollout(Generic[D]):
    """The deployments that serve and those that are being tried, by `App.key`."""

    def __init__(self) -> None:
        self.served: dict[str, D] = {}
        self.candidates: dict[str, D] = {}  # tried beside the one that serves
        self.revision = 0  # grows when `choose` may answer differently
        self._proven: WeakSet[App] = WeakSet()

    def __repr__(self) -> str:
        return f"Rollout({len(self.served)} served, {len(self.candidates)} tried)"

    # Questions

    def is_proven(self, app: App) -> bool:
        """Whether the app may serve without a trial."""
        return app.is_static or app in self._proven

    def choose(self, new: App, proven: App) -> Choice:
        """Which of the two serves now, by the table in the module's docstring."""
        if proven.is_static:
            return Choice(new)
        before = self.served.get(proven.key)
        is_served = before is not None and before.app is proven and before.has_workers()
        if new.key == proven.key:
            return Choice(proven, Placement.BESIDE) if is_served else Choice(new)
        tried = self.tried(new, Placement.APART)
        has_failed = tried is not None and tried.has_failed
        starts_new = not is_served and not has_failed and _may_fall_back(new, proven)
        return Choice(new if starts_new else proven, Placement.APART)

    def tried(self, app: App, placement: Placement) -> D | None:
        """The deployment of this very app that is being tried there."""
        there = (self.candidates if placement is Placement.BESIDE else self.served).get(app.key)
        return there if there is not None and there.app is app else None

    # What happens

    def serve(self, deployment: D) -> D | None:
        """It serves from now on; returns what served under its key until now."""
        key = deployment.app.key
        if self.candidates.get(key) is deployment:
            del self.candidates[key]
        replaced = self.served.get(key)
        self.served[key] = deployment
        return replaced

    def try_beside(self, deployment: D) -> D | None:
        """It is tried beside the one that serves; returns what was being tried until now."""
        key = deployment.app.key
        replaced = self.candidates.get(key)
        self.candidates[key] = deployment
        return replaced

    def loaded(self, deployment: D) -> bool:
        """A worker has loaded it; returns whether it has to replace another one now."""
        app = deployment.app
        if app in self._proven:
            return False
        self._proven.add(app)
        deployment.fallback = None
        self.revision += 1
        return self.candidates.get(app.key) is deployment

    def failed(self, deployment: D) -> bool:
        """Its boot failed; returns whether the state before it keeps serving."""
        is_tried = self.candidates.get(deployment.app.key) is deployment
        if is_tried or deployment.fallback is not None:
            self.revision += 1
            return True
        return False

    def reconsider(self) -> None:
        """Something else that `choose` depends on has changed, such as a known interpreter."""
        self.revision += 1


def is_meant(app: App, spec: str | None) -> bool:
    """Whether the app may answer a request for the range of versions `spec`."""
    return select([app.version or UNVERSIONED], spec) is not None


def _may_fall_back(new: App, proven: App) -> bool:
    """May `proven` answer a request that was admitted for `new` and waits for it?

    Only where both admit everybody. An ephemeral app is started for each request anyway.
    """
    both_public = new.manifest.visibility == proven.manifest.visibility == "public"
    return both_public and proven.manifest.ttl_s > 0
