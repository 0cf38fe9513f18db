"""Puts together what operators use: secrets, keys, deploys, jobs, and the pages and the socket to
reach them.
"""

from collections.abc import Callable, Sequence
from time import monotonic

from buntime.core.access.guesses import Guesses
from buntime.core.plugins.verdictcache import VerdictCache
from buntime.core.settings.live import LiveSettings
from buntime.core.values.frozen import frozen
from buntime.server.admin.audit import Audit
from buntime.server.admin.chronicle import Chronicle
from buntime.server.admin.control import Control
from buntime.server.admin.gate import Gate
from buntime.server.admin.keysfile import KeysFile
from buntime.server.admin.keystore import KeyStore
from buntime.server.admin.latepages import LatePages
from buntime.server.admin.latesessions import LateSessions, SessionParts
from buntime.server.admin.localkey import LocalKey
from buntime.server.admin.maintenance import Maintenance
from buntime.server.admin.openings import Openings
from buntime.server.admin.parts import Parts
from buntime.server.apps.catalog import Catalog
from buntime.server.apps.hostindex import HostIndex
from buntime.server.backup.datalimits import DataLimits
from buntime.server.backup.datameter import DataMeter
from buntime.server.bundle.carried import carried_plugins
from buntime.server.deploys.course import Turns
from buntime.server.deploys.history import History
from buntime.server.deploys.housekeeping import Housekeeping
from buntime.server.deploys.opening import DeployPlace
from buntime.server.deploys.standing import Standing
from buntime.server.http1.listener import Listener
from buntime.server.http1.service import Service
from buntime.server.lifetime.deploys import Deploys
from buntime.server.lifetime.granting import follow_operators
from buntime.server.pipeline.operators import Operators
from buntime.server.pipeline.pipeline import Pipeline
from buntime.server.pipeline.steps import Admittance
from buntime.server.plugins.plugins import Plugins
from buntime.server.plugins.pluginstore import PluginPlace
from buntime.server.pool.pool import Pool
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.schedule.ground import Ground
from buntime.server.schedule.unasked import Unasked
from buntime.server.state.hostclaims import HostClaims
from buntime.server.state.secretstore import SecretStore
from buntime.server.state.statedb import StateDb
from buntime.server.state.statefolder import StateFolder, StateWatch
from buntime.server.telemetry.applogs import AppLogs


@frozen(kw_only=True)
class Premises:
    """The parts of a runtime that exist before those for its operators."""

    live: LiveSettings
    service: Service
    pool: Pool
    interpreters: Interpreters
    catalog: Catalog
    plugins: Plugins
    kept: VerdictCache  # of their hooks
    deploys: Deploys  # changes of apps' code that somebody has put there
    state: StateFolder
    state_watch: StateWatch
    state_db: StateDb
    audit: Audit
    hosts: Callable[[], HostIndex]  # once requests are accepted
    host_claims: HostClaims | None
    app_logs: AppLogs
    urls: Sequence[str]  # that the runtime listens at


class Operating:
    """These parts. `admittance` is the one that requests for apps use."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self.secrets = self._make_secrets()
        self.unasked = self._make_unasked()
        self._maintenance = Maintenance(premises.state_db)
        self._standing = self._make_standing()
        self._plugin_place = PluginPlace(premises.live, premises.service.log, carried_plugins())
        self._keys = KeyStore(premises.state_db)
        service = premises.service
        self.keys_file = KeysFile(service.loop, premises.live, service.log, self._keys.take_file)
        self._sessions, self._gate = self._make_gate()
        self._operators_urls: list[str] = []  # sessions work here; links use the first
        self.data_meter = self._make_data_meter()
        self.chronicle = Chronicle(premises.service, premises.pool.report)
        self.pages = LatePages(self._parts())
        self.admittance = Admittance(
            self._gate, self._maintenance, self._standing.place.previews, self.secrets
        )

    def __repr__(self) -> str:
        return f"Operating({self.pages!r}, {self.unasked!r})"

    def make_control(self, listeners: list[Listener]) -> Control:
        """Make the control socket, which opens when the state folder can be used; see `Control`."""
        premises = self._premises
        control = Control(premises.service, premises.live, self.pages, premises.state, listeners)
        premises.state_watch.follow(control.open)
        return control

    def make_operators(self, pipeline: Pipeline) -> Operators:
        """Make what answers at the operators' address, which is opened later."""
        premises = self._premises
        return Operators(
            premises.service,
            premises.live,
            self.pages,
            self._gate,
            pipeline,
            urls=self._operators_urls,
        )

    def _make_secrets(self) -> SecretStore:
        premises = self._premises
        service, watch = premises.service, premises.state_watch
        tell, warn = service.log.info, service.log.warn
        secrets = SecretStore(service.loop, premises.live, premises.state, tell=tell, warn=warn)
        follow_operators(secrets, premises.catalog, premises.deploys, premises.plugins, watch)
        premises.pool.grant(secrets)
        return secrets

    def _make_unasked(self) -> Unasked:
        premises = self._premises
        ground = Ground(
            premises.service,
            premises.pool,
            premises.interpreters,
            premises.catalog,
            premises.state,
        )
        return Unasked(ground, premises.live, premises.state_db, follow=premises.deploys.follow)

    def _make_standing(self) -> Standing:
        premises = self._premises
        place = DeployPlace(premises.live, premises.service.log)
        turns, pool, catalog = Turns(), premises.pool, premises.catalog
        housekeeping = Housekeeping(premises.service, pool, catalog, place, turns)
        return Standing(place, housekeeping, History(premises.state_db), turns)

    def _make_data_meter(self) -> DataMeter:
        premises = self._premises
        limits = DataLimits(premises.pool, premises.catalog, premises.plugins)
        return DataMeter(premises.service.loop, premises.service.log, limits.served)

    def _make_gate(self) -> tuple[LateSessions, Gate]:
        live, log = self._premises.live, self._premises.service.log
        local = LocalKey(live, log)
        sessions = LateSessions(self._session_parts(local))
        gate = Gate(
            live,
            self._keys,
            guesses=Guesses(),
            local_key=local,
            sessions=sessions,
            openings=Openings(self._premises.service.loop),
        )
        return sessions, gate

    def _session_parts(self, local: LocalKey) -> SessionParts:
        premises = self._premises
        service = premises.service
        return SessionParts(
            service.loop, service.log, premises.state_db, premises.live, self._keys, local
        )

    def _parts(self) -> Parts:
        premises = self._premises
        return Parts(
            live=premises.live,
            gate=self._gate,
            keys=self._keys,
            started_s=monotonic(),
            urls=premises.urls,
            operators_urls=self._operators_urls,
            sessions=self._sessions,
            log=premises.service.log,
            service=premises.service,
            pool=premises.pool,
            catalog=premises.catalog,
            plugins=premises.plugins,
            plugin_place=self._plugin_place,
            data_meter=self.data_meter,
            kept=premises.kept,
            db=premises.state_db,
            audit=premises.audit,
            secrets=self.secrets,
            maintenance=self._maintenance,
            app_logs=premises.app_logs,
            interpreters=premises.interpreters,
            deploys=self._standing,
            unasked=self.unasked,
            chronicle=self.chronicle,
            hosts=premises.hosts,
            host_claims=premises.host_claims,
            app_faults=lambda: premises.deploys.faults,
            follow_apps=premises.deploys.follow,
        )
