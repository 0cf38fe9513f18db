"""What the API says about itself, and why a request is let in or not."""

from collections.abc import Callable, Mapping

from buntime import __version__
from buntime.core.access.explaining import Situation, explain, is_let_in, of_right
from buntime.core.access.keyring import KeyRecord, excess
from buntime.core.access.rules import Asker, Rules, is_address, rules_of
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
from buntime.server.admin.missing import found_app, missing_app, missing_key
from buntime.server.apps.catalog import Catalog
from buntime.server.plugins.plugins import Plugins


class AccessPages:
    """Serves these pages."""

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
        """`is_closed` says whether operators have closed an app for a while."""
        self._live = live
        self._table = table
        self._keys = keys
        self._catalog = catalog
        self._plugins = plugins
        self._is_closed = is_closed

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {
            "docs.openapi": self._openapi,
            "docs.page": self._page,
            "access.explain": self._explain,
            "access.rules": self._rules,
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
            raise missing_app(call, self._catalog, name)
        key, now = self._key(call), self._keys.clock()
        app = found_app(call, self._catalog, name, None)
        if call.query["right"] is not None:
            if key is None:
                raise ClientFault(400, "bad_query", "to ask about a right, name a key")
            checks = [of_right(key, call.query["right"], name, now)]
        else:
            checks = explain(self._situation(call, app, key, now))
        call.answer(
            {
                "app": app.name,
                "version": app.version,
                "isLetIn": is_let_in(checks),
                "checks": [check._asdict() for check in checks],
            }
        )

    def _situation(self, call: Call, app: App, key: KeyRecord | None, now: float) -> Situation:
        method, path = call.query["method"], call.query["path"]
        rules, identity = rules_of(app.name, self._plugins.rules), _identity(call)
        address = call.query["address"] or ""
        if address and not is_address(address):
            raise ClientFault(400, "bad_query", f"address: {address[:200]!r} is not an IP address")
        active = key.name if key is not None and key.standing(now) == "active" else None
        asker = Asker(identity, active, address)
        is_public = app.public_routes.cover(method, path)
        return Situation(
            app=app.name,
            visibility=app.manifest.visibility,
            is_public=is_public,
            now=now,
            key=key,
            auth=app.manifest.auth,
            decision=rules.decide(method, path, asker),
            identity=identity,
            signs_in=any(each.stage == "identity" for each in self._plugins.plan.of(app.name)),
            maintenance=self._is_closed(app.name),
            hooks=self._hooks(call, app, rules, is_public=is_public),
        )

    def _rules(self, call: Call) -> None:
        rules = self._plugins.rules
        call.answer({"rules": [{**each.dump(), "place": each.place} for each in rules]})

    def _key(self, call: Call) -> KeyRecord | None:
        """The key asked about, if the caller may see it."""
        name = call.query["key"]
        if name is None:
            return None
        record = self._keys.ring.by_name.get(name)
        if "keys:read" not in call.caller.verbs or (record and excess(record, call.caller)):
            raise ClientFault(
                403, "not_allowed", f"asking about the key {name[:200]} needs the right keys:read, "
                "and a key that is at least as strong"
            )  # fmt: skip
        if record is None:
            raise missing_key(call, self._keys.ring.by_name.values(), name)
        return record

    def _hooks(
        self, call: Call, app: App, rules: Rules, *, is_public: bool
    ) -> tuple[tuple[str, str], ...]:
        """Which plugins are asked about the request, at whatever address it comes in."""
        hooks = self._plugins.plan.hooks_for(
            app.name,
            method=call.query["method"],
            path=call.query["path"] or "/",
            host="",
            is_public=is_public,
            wants_identity=app.manifest.auth != "none" or rules.wants_identity,
        )
        return tuple((hook.plugin, hook.stage) for hook in hooks if hook.has_request or hook.closed)


def _identity(call: Call) -> Mapping[str, object] | None:
    """The identity assumed to have signed in."""
    user, names = call.query["user"], {}
    for name in ("roles", "groups"):
        text = call.query[name]
        if text:
            names[name] = [each.strip() for each in text.split(",")]
    return {**names, **({"user": user} if user else {})} if user or names else None
