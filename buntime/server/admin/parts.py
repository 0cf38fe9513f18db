"""What the runtime's own pages are made of."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from buntime.core.plugins.verdictcache import VerdictCache
from buntime.core.settings.live import LiveSettings
from buntime.core.values.frozen import frozen
from buntime.server.admin.audit import Audit
from buntime.server.admin.chronicle import Chronicle
from buntime.server.admin.gate import Gate
from buntime.server.admin.keystore import KeyStore
from buntime.server.admin.latesessions import LateSessions
from buntime.server.admin.maintenance import Maintenance
from buntime.server.apps.catalog import Catalog
from buntime.server.apps.hostindex import HostIndex
from buntime.server.backup.datameter import DataMeter
from buntime.server.deploys.standing import Standing
from buntime.server.http1.service import Service
from buntime.server.plugins.plugins import Plugins
from buntime.server.plugins.pluginstore import PluginPlace
from buntime.server.pool.pool import Pool
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.schedule.unasked import Unasked
from buntime.server.state.hostclaims import HostClaims
from buntime.server.state.secretstore import SecretStore
from buntime.server.state.statedb import StateDb
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.logs import Log


@frozen(kw_only=True)
class Parts:
    """Each group of pages takes its own of these."""

    live: LiveSettings
    gate: Gate
    keys: KeyStore
    started_s: float  # when the runtime was started, monotonic
    urls: Sequence[str]  # that the runtime listens at
    operators_urls: Sequence[str]  # where operators' sessions are valid, once that address is open
    sessions: LateSessions
    log: Log
    service: Service
    pool: Pool
    catalog: Catalog
    plugins: Plugins
    plugin_place: PluginPlace
    data_meter: DataMeter
    kept: VerdictCache
    db: StateDb
    audit: Audit
    secrets: SecretStore
    maintenance: Maintenance
    app_logs: AppLogs
    interpreters: Interpreters
    deploys: Standing
    unasked: Unasked
    chronicle: Chronicle
    hosts: Callable[[], HostIndex]
    host_claims: HostClaims | None  # None if hosts are not kept
    app_faults: Callable[[], Mapping[str, Collection[str]]]  # why apps cannot be served, by name
    # Calls a callback with the names of apps whose folders have changed.
    follow_apps: Callable[[Callable[[Iterable[str]], None]], None]
