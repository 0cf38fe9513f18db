"""The API tells of itself, and why somebody is let in or not."""

from collections.abc import Callable, Mapping

from buntime import __version__
from buntime.core.access.explaining import explain, is_let_in, of_right
from buntime.core.access.keyring import KeyRecord, excess
from buntime.core.admin.apidocs import PAGE_FIELDS, page
from buntime.core.admin.matching import RouteTable
from buntime.core.admin.openapi import document
from buntime.core.apps.app import App
from buntime.core.apps.router import is_app_name
from buntime.core.errors import ClientFault
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call
from buntime.server.admin.keystore import KeyStore
from buntime.server.apps.catalog import Catalog
from buntime.server.plugins.plugins import Plugins


class AccessPages:
    """Answers these pages."""

    def __init__(
        self,
        live: LiveSettings,
        table: RouteTable,
        keys: KeyStore,
        catalog: Catalog,
        plugins: Plugins,
        *,
        is_closed: Callable[[str], bool],
    ) -> None:
        """`is_closed` tells of an app whether operators have closed it for a while."""
        self._live = live
        self._table = table
        self._keys = keys
        self._catalog = catalog
        self._plugins = plugins
        self._is_closed = is_closed

    def handlers(self) -> Mapping[str, Handler]:
        """By the names of routes."""
        return {
            "docs.openapi": self._openapi,
            "docs.page": self._page,
            "access.explain": self._explain,
        }

    def _openapi(self, call: Call) -> None:
        prefix, api_prefix = call.exchange.sender.prefix, self._live.now.api_prefix
        routes = self._table.routes
        call.answer(document(routes, version=__version__, prefix=prefix, api_prefix=api_prefix))

    def _page(self, call: Call) -> None:
        prefix = call.exchange.sender.prefix + self._live.now.api_prefix
        text = page(self._table.routes, prefix=prefix)
        call.respond(200, list(PAGE_FIELDS), text.encode())

    def _explain(self, call: Call) -> None:
        self._keys.know(lambda fault: call.guard(lambda: self._tell(call, fault)))

    def _tell(self, call: Call, fault: BaseException | None) -> None:
        if fault is not None:
            raise fault
        name = call.query["app"]
        if not is_app_name(name):
            raise ClientFault(404, "app_not_found", f"there is no app {name[:200]}")
        key, now = self._key(call), self._keys.clock()
        app = self._catalog.find(name, None, call.now)
        if call.query["right"] is not None:
            if key is None:
                raise ClientFault(400, "bad_query", "right is about a key: name one by key")
            checks = [of_right(key, call.query["right"], name, now)]
        else:
            public = app.public_routes.cover(call.query["method"], call.query["path"])
            checks = explain(
                visibility=app.manifest.visibility,
                is_public=public,
                key=key,
                app=name,
                now=now,
                maintenance=self._is_closed(name),
                hooks=self._hooks(call, app, is_public=public),
            )
        call.answer(
            {
                "app": app.name,
                "version": app.version,
                "isLetIn": is_let_in(checks),
                "checks": [check._asdict() for check in checks],
            }
        )

    def _key(self, call: Call) -> KeyRecord | None:
        """The key that is asked about, where the caller may see it."""
        name = call.query["key"]
        if name is None:
            return None
        record = self._keys.ring.by_name.get(name)
        if "keys:read" not in call.caller.verbs or (record and excess(record, call.caller)):
            raise ClientFault(
                403, "not_allowed", f"to ask about the key {name[:200]} takes the right keys:read, "
                "and one's own key must be as strong"
            )  # fmt: skip
        if record is None:
            raise ClientFault(404, "key_not_found", f"there is no key {name[:200]}")
        return record

    def _hooks(self, call: Call, app: App, *, is_public: bool) -> tuple[tuple[str, str], ...]:
        """Which plugins are asked about the request, wherever it comes in."""
        hooks = self._plugins.plan.hooks_for(
            app.name,
            method=call.query["method"],
            path=call.query["path"] or "/",
            host="",
            is_public=is_public,
        )
        return tuple((hook.plugin, hook.stage) for hook in hooks if hook.has_request or hook.closed)
