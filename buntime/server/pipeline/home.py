"""What a browser gets at `/` if no app answers there: in development the panel, or a page."""

from urllib.parse import quote

from buntime import __version__
from buntime.core.access.operators import PANEL
from buntime.core.admin.homepage import POLICY, ROWS_MAX, AppRow, render_home
from buntime.core.apps.app import Fault
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.gate import Gate
from buntime.server.apps.catalog import Catalog
from buntime.server.http1.exchange import Exchange
from buntime.server.plugins.way import Plugins
from buntime.server.pool.pool import Pool

_FIELDS = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("content-security-policy", POLICY),
)


class Home:
    """Answers requests for `/`."""

    def __init__(
        self,
        live: LiveSettings,
        catalog: Catalog,
        pool: Pool,
        plugins: Plugins,
        gate: Gate,
    ) -> None:
        self._live = live
        self._catalog = catalog
        self._pool = pool
        self._plugins = plugins
        self._gate = gate

    def answer(self, exchange: Exchange) -> bool:
        """Answer a browser on this machine, in development; return False for all others.

        The panel signs operators in by itself. Without a panel, a page lists the apps.
        """
        accept = next((value for name, value in exchange.head.headers if name == "accept"), "")
        if "text/html" not in accept or not self._gate.is_for_operators(exchange):
            return False
        site = self._plugins.at_base(PANEL)
        if site is not None and not site.unavailable:
            exchange.respond(302, [("location", f"/{PANEL}/"), ("cache-control", "no-store")])
        else:
            exchange.respond(200, _FIELDS, self._page(exchange.started_s))
        return True

    def _page(self, now: float) -> bytes:
        catalog = self._catalog
        names = [*dict.fromkeys(name for name, _ in catalog.names(now))]
        entries = {str(each["app"]): each for each in self._pool.report.apps(now)}
        rows = [self._row(name, entries.get(name, {}), now) for name in names[:ROWS_MAX]]
        folders = self._live.now.worker_dirs
        more = len(names) - len(rows)
        return render_home(rows, more=more, folders=folders, version=__version__)

    def _row(self, name: str, entry: dict[str, object], now: float) -> AppRow:
        found = self._catalog.all_of(name, now)
        faults = [each.error for each in found if isinstance(each, Fault)]
        is_site = any(not isinstance(each, Fault) and each.is_static for each in found)
        at_hosts = any(not isinstance(each, Fault) and each.manifest.hosts for each in found)
        return AppRow(
            name,
            "" if at_hosts else f"/{quote(name, safe='@/')}/",
            [each.version for each in found if each.version is not None],
            str(entry.get("status", "static" if is_site else "not asked yet")),
            "\n".join(faults) or str(entry.get("bootError") or ""),
        )
