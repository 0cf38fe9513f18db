"""All pages of the runtime's own: which handler answers which route of core/admin/routes.py.

A group of pages is a class with `handlers()`, by the names of routes, and a line in `_groups`. What
it needs beyond `Parts` is a field more there. A route without a handler, and a handler without a
route, keep the runtime from starting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from buntime.core.access.guesses import Guesses
from buntime.core.admin.routes import ROUTES
from buntime.core.sandbox.kernel import Kernel
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.accesspages import AccessPages
from buntime.server.admin.api import Api, Handler
from buntime.server.admin.apps import AppPages
from buntime.server.admin.audit import Audit, AuditPages
from buntime.server.admin.cronpages import CronPages
from buntime.server.admin.datapages import DataPages
from buntime.server.admin.deploypages import DeployPages
from buntime.server.admin.gate import Gate
from buntime.server.admin.keypages import KeyPages
from buntime.server.admin.keystore import KeyStore
from buntime.server.admin.localkey import LocalKey
from buntime.server.admin.logs import LogPages
from buntime.server.admin.maintenance import Maintenance
from buntime.server.admin.metrics import Metrics
from buntime.server.admin.own import OwnPages
from buntime.server.admin.plugins import PluginPages
from buntime.server.admin.secretpages import SecretPages
from buntime.server.admin.workers import WorkerPages
from buntime.server.apps.catalog import Catalog
from buntime.server.deploys.carrier import Carrier
from buntime.server.http1.service import Service
from buntime.server.plugins.plugins import Plugins
from buntime.server.pool.pool import Pool
from buntime.server.schedule.unasked import Unasked
from buntime.server.state.secretstore import SecretStore
from buntime.server.state.statedb import StateDb
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.logs import Log


class Pages(Protocol):
    """Some pages that belong together."""

    def handlers(self) -> Mapping[str, Handler]:
        """By the names of routes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What pages are made of."""

    live: LiveSettings
    urls: Sequence[str]  # that the runtime listens at
    log: Log
    service: Service
    pool: Pool
    catalog: Catalog
    plugins: Plugins
    db: StateDb
    audit: Audit
    secrets: SecretStore
    maintenance: Maintenance
    app_logs: AppLogs
    carrier: Carrier
    unasked: Unasked


def make_api(parts: Parts) -> tuple[Api, Gate]:
    """The API of a runtime, and what knows its callers."""
    keys = KeyStore(parts.db)
    local_key = LocalKey(parts.live, parts.log)
    gate = Gate(parts.live, keys, guesses=Guesses(), local_key=local_key)
    return api_of(parts.live, gate, *_groups(parts, keys)), gate


def _groups(parts: Parts, keys: KeyStore) -> tuple[Pages, ...]:
    return (
        OwnPages(parts.live),
        AppPages(parts.pool, parts.catalog, parts.maintenance, parts.audit),
        WorkerPages(parts.pool, parts.catalog, parts.audit),
        Metrics(
            parts.service,
            parts.pool.report,
            parts.plugins.metrics,
            parts.unasked.cron.metrics,
            parts.unasked.processes.metrics,
        ),
        CronPages(parts.service.loop, parts.unasked, parts.audit),
        PluginPages(parts.plugins, parts.live, parts.audit),
        SecretPages(parts.secrets, parts.catalog, parts.plugins, parts.audit),
        KeyPages(keys, parts.audit),
        AccessPages(
            parts.live,
            ROUTES,
            keys,
            parts.catalog,
            parts.plugins,
            is_closed=lambda app: parts.maintenance.of(app) is not None,
        ),
        AuditPages(parts.db),
        DataPages(parts.service.loop, parts.log, parts.live, parts.db, parts.audit, _kernel(parts)),
        LogPages(parts.service.loop, parts.app_logs),
        DeployPages(parts.live, parts.carrier, parts.audit, urls=parts.urls),
    )


def _kernel(parts: Parts) -> Kernel:
    return parts.pool.sandboxes.kernel


def api_of(live: LiveSettings, gate: Gate, *groups: Pages) -> Api:
    """The API that these pages make. Raises ValueError where two answer the same route."""
    handlers: dict[str, Handler] = {}
    for group in groups:
        for name, handler in group.handlers().items():
            if name in handlers:
                raise ValueError(f"{name} has two handlers")
            handlers[name] = handler
    return Api(live, gate, ROUTES, handlers)
