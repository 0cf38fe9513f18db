"""All pages of the runtime's own: which handler answers which route of core/admin/routes.py.

A group of pages is a class with `handlers()`, by route name, and a line in `_groups`. What it needs
beyond `Parts` is another field there. `latepages` imports all of it when the first page is
requested.
"""

from collections.abc import Mapping

from buntime.core.admin.routes import ROUTES
from buntime.core.sandbox.kernel import Kernel
from buntime.core.settings.live import LiveSettings
from buntime.core.values.protocols import Protocol
from buntime.server.admin.accesspages import AccessPages
from buntime.server.admin.api import Api, Handler
from buntime.server.admin.apps import AppPages
from buntime.server.admin.appurls import AppUrls
from buntime.server.admin.archives import Archives
from buntime.server.admin.attention import Attention, AttentionPages
from buntime.server.admin.auditpages import AuditPages
from buntime.server.admin.cachepages import CachePages
from buntime.server.admin.cronpages import CronPages
from buntime.server.admin.datapages import DataPages
from buntime.server.admin.deploypages import DeployPages
from buntime.server.admin.deployviews import DeployViews
from buntime.server.admin.diagnosis import DiagnosisPages
from buntime.server.admin.events import event_pages
from buntime.server.admin.framepages import FramePages
from buntime.server.admin.gate import Gate
from buntime.server.admin.historypages import HistoryPages
from buntime.server.admin.hostpages import HostPages
from buntime.server.admin.keypages import KeyPages
from buntime.server.admin.logs import LogPages
from buntime.server.admin.menupages import MenuPages
from buntime.server.admin.metrics import Metrics
from buntime.server.admin.own import OwnPages
from buntime.server.admin.parts import Parts
from buntime.server.admin.plugininstalls import PluginInstallPages
from buntime.server.admin.pluginoptions import PluginOptionPages
from buntime.server.admin.plugins import PluginPages
from buntime.server.admin.secretpages import SecretPages
from buntime.server.admin.sessionpages import SessionPages
from buntime.server.admin.userpages import UserPages
from buntime.server.admin.workers import WorkerPages
from buntime.server.backup.datalimits import DataLimits
from buntime.server.deploys.carrier import Carrier
from buntime.server.plugins.installer import Installer
from buntime.server.plugins.installground import Around, Leftovers
from buntime.server.plugins.optionchange import OptionChanges
from buntime.server.plugins.outcome import Outcomes
from buntime.server.plugins.remover import Remover


class Pages(Protocol):
    """Some pages that belong together."""

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""


def make_api(parts: Parts) -> Api:
    """The API of a runtime."""
    return api_of(parts.live, parts.gate, *_groups(parts))


def _groups(parts: Parts) -> tuple[Pages, ...]:
    attention = Attention(parts)
    carrier = _carrier(parts)
    outcomes = Outcomes(parts.service.loop, parts.plugins)
    return (
        OwnPages(parts.live, started_s=parts.started_s),
        FramePages(parts.plugins, parts.gate),
        MenuPages(parts.plugins, parts.live),
        AppPages(parts.pool, parts.catalog, parts.maintenance, parts.audit, AppUrls(parts.urls)),
        WorkerPages(parts.pool, parts.catalog, parts.audit),
        Metrics(
            parts.service,
            parts.pool.report,
            parts.plugins.metrics,
            parts.unasked.cron.metrics,
            parts.unasked.processes.metrics,
        ),
        HistoryPages(parts.service.loop, parts.chronicle),
        event_pages(parts, attention.items),
        AttentionPages(parts, attention),
        DiagnosisPages(parts.service.loop, parts.catalog, parts.pool.stats),
        CachePages(parts, parts.audit),
        CronPages(parts.service.loop, parts.unasked, parts.audit, parts.app_faults),
        PluginPages(parts.plugins, parts.live, parts.audit, parts.deploys.place, outcomes),
        PluginOptionPages(parts.plugins, parts.audit, _option_changes(parts, outcomes)),
        _plugin_installs(parts, outcomes),
        SecretPages(parts.secrets, parts.catalog, parts.plugins, parts.audit),
        KeyPages(parts.keys, parts.audit),
        UserPages(parts.live, parts.plugins, parts.pool, parts.audit),
        HostPages(parts.hosts, parts.host_claims, parts.catalog, parts.audit),
        AccessPages(
            parts.live,
            ROUTES,
            parts.keys,
            parts.catalog,
            parts.plugins,
            is_closed=lambda app: parts.maintenance.of(app) is not None,
        ),
        AuditPages(parts.db),
        DataPages(
            parts.service.loop,
            parts.log,
            parts.live,
            parts.db,
            parts.audit,
            _kernel(parts),
            DataLimits(parts.pool, parts.catalog, parts.plugins).of_folder,
        ),
        LogPages(parts.service.loop, parts.app_logs),
        DeployPages(
            parts.live,
            carrier,
            parts.catalog,
            parts.audit,
            at_base=parts.plugins.at_base,
            urls=parts.urls,
        ),
        DeployViews(carrier),
        _sessions(parts),
    )


def _sessions(parts: Parts) -> SessionPages:
    return SessionPages(
        parts.live,
        parts.gate,
        parts.sessions.all,
        parts.audit,
        at_base=parts.plugins.at_base,
        urls=parts.operators_urls,
    )


def _option_changes(parts: Parts, outcomes: Outcomes) -> OptionChanges:
    return OptionChanges(parts.service.loop, parts.log, parts.plugins, outcomes)


def _plugin_installs(parts: Parts, outcomes: Outcomes) -> PluginInstallPages:
    around = Around(
        parts.live,
        parts.service,
        parts.pool,
        parts.plugins,
        parts.interpreters,
        parts.plugin_place,
        outcomes,
    )
    leftovers = Leftovers(around)
    installer, remover = Installer(around, leftovers), Remover(around, leftovers)
    archives = Archives(parts.service.loop, parts.live, installer.uploads)
    return PluginInstallPages(parts.plugins, parts.audit, installer, remover, archives)


def _carrier(parts: Parts) -> Carrier:
    return Carrier(
        parts.live,
        parts.service,
        parts.pool,
        parts.catalog,
        parts.interpreters,
        parts.app_logs,
        parts.deploys,
    )


def _kernel(parts: Parts) -> Kernel:
    return parts.pool.sandboxes.kernel


def api_of(live: LiveSettings, gate: Gate, *groups: Pages) -> Api:
    """The API that these pages make. Raises ValueError if two answer the same route."""
    handlers: dict[str, Handler] = {}
    for group in groups:
        for name, handler in group.handlers().items():
            if name in handlers:
                raise ValueError(f"{name} has two handlers")
            handlers[name] = handler
    return Api(live, gate, ROUTES, handlers)
