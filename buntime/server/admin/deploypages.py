"""What operators see of deploys, and the deploys that they begin.

Faults that the head alone shows are reported before the archive is asked for: a client that waits
for 100 Continue sends no archive that would be refused. A client that asks for NDJSON gets a line
for each step; others get only the result.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from secrets import token_urlsafe
from typing import IO, TYPE_CHECKING, Any

from buntime.core.admin.audittrail import DONE
from buntime.core.apps.app import app_key
from buntime.core.deploys.digests import digest_in
from buntime.core.deploys.names import check_names, check_unreserved, is_preview, preview_version
from buntime.core.deploys.preview import PARAM
from buntime.core.deploys.steps import Step
from buntime.core.errors import ClientFault, HttpError
from buntime.core.settings.live import LiveSettings
from buntime.core.values.kinds import duration
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.server.admin.api import Handler
from buntime.server.admin.appstate import AtBase, check_app, plugin_before
from buntime.server.admin.appurls import AppUrls
from buntime.server.admin.archives import Archives
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.call import Call
from buntime.server.admin.missing import check_exists, with_versions
from buntime.server.admin.streaming import NDJSON
from buntime.server.apps.catalog import Catalog
from buntime.server.deploys.carrier import Carrier
from buntime.server.deploys.deploy import Deploy
from buntime.server.deploys.disk import check_room, storage_fault
from buntime.server.deploys.diskwork import Wish, reach_unchanged
from buntime.server.deploys.store import Store

if TYPE_CHECKING:
    from buntime.server.deploys.upload import Upload

_PREVIEW_TTL = "7d"
_PREVIEW_TTL_MAX_S = 90 * 86_400.0


class _Same(NamedTuple):
    """The version that has the content of a deploy already."""

    version: str
    is_active: bool


class DeployPages:
    """Serves these pages."""

    def __init__(
        self,
        live: LiveSettings,
        carrier: Carrier,
        catalog: Catalog,
        audit: Audit,
        *,
        at_base: AtBase,
        urls: Sequence[str],
    ) -> None:
        """`urls` are those that the runtime listens at."""
        self._at_base = at_base
        self._audit = audit
        self._catalog = catalog
        self._live = live
        self._carrier = carrier
        self._urls = AppUrls(urls)
        self._archives = Archives(carrier.loop, live, carrier.uploads)

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {
            "deploys.put": self._put,
            "deploys.activate": self._activate,
            "deploys.rollback": self._rollback,
            "deploys.remove": self._remove,
            "deploys.removeAll": self._remove_all,
        }

    # A deploy

    def _put(self, call: Call) -> None:
        app, version = call.values["app"], _version(call)
        check_names(app, version)
        check_unreserved(app)
        self._check_base(call, app, version)
        store = self._carrier.place.open()
        self._archives.check_head(call)
        head = call.exchange.head
        digest = digest_in(call.header("content-digest"))
        wish = self._wish_of(call, app, version)
        wish.check()
        self._carrier.look(
            lambda: _open(store, app, version, wish, digest, head.content_length),
            lambda result: call.guard(lambda: self._looked(call, wish, digest, result)),
        )

    def _check_base(self, call: Call, app: str, version: str) -> None:
        """Raises ClientFault (409) if a plugin answers where the app would be. A preview is at a
        path of its own."""
        if is_preview(version):
            return
        plugin = plugin_before(self._at_base, self._catalog, app, call.now)
        if plugin is not None:
            raise ClientFault(
                409,
                "plugin_in_the_way",
                f"the plugin {plugin} has the path /{app}, so no request would reach the app; "
                "deploy it under another name: buntime deploy --app NAME; or, if you do not need "
                f"the plugin: buntime plugins disable {plugin}",
            )

    def _wish(self, call: Call, url: str = "", **more: Any) -> Wish:
        def check() -> None:
            check_app(call, self._catalog)

        return Wish(url, is_dry_run=call.is_dry_run, check=check, **more)

    def _wish_of(self, call: Call, app: str, version: str) -> Wish:
        replaces, ttl = bool(call.query["replace"]), call.query["ttl"]
        if not is_preview(version):
            if ttl is not None:
                raise ClientFault(
                    400, "bad_ttl", "ttl is for previews; name one, as in ?preview=pr-12"
                )
            own, pinned = (self._urls.of(call, each) for each in (app, app_key(app, version)))
            if_changed = bool(call.query["ifChanged"])
            return self._wish(
                call, own, url_of_version=pinned, replaces=replaces, if_changed=if_changed
            )
        try:
            ttl_s = float(duration()(ttl or _PREVIEW_TTL))
        except BadValue as exc:
            raise ClientFault(400, "bad_ttl", str(exc)) from None
        if ttl_s > _PREVIEW_TTL_MAX_S:
            raise ClientFault(400, "bad_ttl", "a preview lasts 90d at most")
        token = token_urlsafe(24)
        url = f"{self._urls.of(call, app_key(app, version))}?{PARAM}={token}"
        return self._wish(call, url, replaces=True, token=token, ttl_s=ttl_s)

    def _looked(
        self, call: Call, wish: Wish, digest: str | None, result: IO[bytes] | _Same | BaseException
    ) -> None:
        """The head shows no fault: the archive may come."""
        version = _version(call)
        if isinstance(result, OSError):
            raise storage_fault(result)
        if isinstance(result, BaseException):
            raise result
        if isinstance(result, _Same):
            deploy = self._begin(call, "deploy", result.version)
            reach_unchanged(deploy, result.version, wish, is_active=result.is_active)
            self._follow(call, deploy)
            return
        if call.is_gone:
            result.close()
            return
        self._receive(call, self._begin(call, "deploy", version), wish, digest, result)

    def _begin(self, call: Call, kind: str, version: str) -> Deploy:
        app, by = call.values["app"], call.caller.name
        return self._carrier.begin(kind, app, version, by, is_dry_run=call.is_dry_run)

    def _receive(
        self, call: Call, deploy: Deploy, wish: Wish, digest: str | None, file: IO[bytes]
    ) -> None:
        def received(result: "Upload | HttpError") -> None:
            if isinstance(result, HttpError):
                deploy.fail(result, log=[])
                raise result
            self._carry(call, deploy, wish, result)

        on_begin = partial(deploy.attempt, Step.RECEIVED)
        self._archives.take(call, file, digest, on_begin=on_begin, then=received)

    def _carry(self, call: Call, deploy: Deploy, wish: Wish, upload: "Upload") -> None:
        deploy.reach(Step.RECEIVED, bytes=upload.size_bytes, digest=upload.digest)
        self._follow(call, deploy)
        self._noted(call, deploy, lambda: self._carrier.deploy(deploy, upload, wish))

    def _activate(self, call: Call) -> None:
        app, version = call.values["app"], call.values["version"]
        check_names(app, version)
        check_app(call, self._catalog)
        self._carrier.housekeeping.find_version(
            app, version, lambda result: call.guard(lambda: self._go_to(call, "activate", result))
        )

    def _rollback(self, call: Call) -> None:
        app = call.values["app"]
        check_exists(call, self._catalog)
        check_app(call, self._catalog)
        self._carrier.housekeeping.find_before(
            app, lambda result: call.guard(lambda: self._go_to(call, "rollback", result))
        )

    def _go_to(self, call: Call, kind: str, result: tuple[str, str | None] | BaseException) -> None:
        if isinstance(result, BaseException):
            raise self._explained(call, result)
        version, leaves = result
        app = call.values["app"]
        deploy = self._begin(call, kind, version)
        wish = self._wish(call, self._urls.of(call, app))
        self._follow(call, deploy)
        self._noted(call, deploy, lambda: self._carrier.activate(deploy, wish, leaves=leaves))

    def _remove(self, call: Call) -> None:
        app, version = call.values["app"], call.values["version"]
        check_names(app, version)

        def remove(then: Callable[[Any], None], **how: Any) -> None:
            self._carrier.housekeeping.remove(app, version, then, **how)

        def answer(releases: object) -> None:
            call.answer({"app": app, "version": version, "releases": releases})

        self._take_away(call, app_key(app, version), remove, answer)

    def _remove_all(self, call: Call) -> None:
        app = call.values["app"]

        def remove(then: Callable[[Any], None], **how: Any) -> None:
            self._carrier.housekeeping.remove_all(app, then, **how)

        self._take_away(
            call, app, remove, lambda versions: call.answer({"app": app, "versions": versions})
        )

    def _take_away(
        self,
        call: Call,
        subject: str,
        remove: Callable[..., None],
        answer: Callable[[Any], None],
    ) -> None:
        """Try a dry run first, so that a refused change is not noted as begun."""
        before = self._standing(call.values["app"], call.now)

        def check() -> None:
            check_app(call, self._catalog)

        def removed(begun: Begun, result: Any) -> None:
            self._raise_if_fault(call, result)
            begun.end(self._standing(call.values["app"], call.now))
            answer(result)

        def act(begun: Begun) -> None:
            remove(
                lambda result: call.guard(lambda: begun.run(lambda: removed(begun, result))),
                is_dry_run=False,
                check=check,
            )

        def tried(result: Any) -> None:
            self._raise_if_fault(call, result)
            if call.is_dry_run:
                answer(result)
            else:
                self._audit.begin(call, subject, before, then=act)

        remove(lambda result: call.guard(lambda: tried(result)), is_dry_run=True, check=check)

    def _noted(self, call: Call, deploy: Deploy, go: Callable[[], None]) -> None:
        """Carry it out between two entries of the audit trail; the client may leave."""

        def end(begun: Begun) -> None:
            error, step = deploy.error, deploy.progress.step
            result = "unchanged" if step is Step.UNCHANGED else DONE
            begun.end(result=result if error is None else f"failed: {error.code}")

        def act(begun: Begun) -> None:
            deploy.at_end(lambda: end(begun))
            go()

        if deploy.is_dry_run:
            go()
            return
        subject = app_key(deploy.app, deploy.version or None)
        before = {"version": self._catalog.newest(deploy.app, call.now)}
        after = {"deploy": deploy.id, "version": deploy.version}
        self._audit.begin(call, subject, before, after, then=act)

    def _raise_if_fault(self, call: Call, result: object) -> None:
        if isinstance(result, BaseException):
            raise self._explained(call, result)

    def _explained(self, call: Call, fault: BaseException) -> BaseException:
        """The fault; if it is that something does not exist, with what there is instead."""
        if not isinstance(fault, ClientFault) or fault.status != 404:
            return fault
        text = with_versions(call, self._catalog, call.values["app"], fault.message)
        return ClientFault(404, fault.code, text)

    def _standing(self, app: str, now: float) -> dict[str, object]:
        """The state of an app that a removal may change."""
        versions = sorted(filter(None, self._catalog.versions_of(app, now)))
        return {"version": self._catalog.newest(app, now), "versions": versions}

    # The answer

    def _follow(self, call: Call, deploy: Deploy) -> None:
        """Answer with the deploy's progress, or with its result."""
        location = ("location", f"{self._api(call)}/deploys/{deploy.id}")
        if not call.accepts(NDJSON):
            deploy.at_end(lambda: _answer(call, deploy, location))
            return
        stream = call.stream(NDJSON, fields=[location])
        deploy.follow(stream.line)
        deploy.at_end(stream.finish)

    def _api(self, call: Call) -> str:
        return f"{call.exchange.sender.prefix}{self._live.now.api_prefix}/api"


def _version(call: Call) -> str:
    """The version that is deployed; previews have their own."""
    preview = call.query.get("preview")
    return call.values["version"] if preview is None else preview_version(preview)


def _open(
    store: Store, app: str, version: str, wish: Wish, digest: str | None, size_bytes: int
) -> IO[bytes] | _Same:
    """A file for the archive; if this content exists already, the version. In a thread."""
    # See `DeployPages._receive`.
    from buntime.server.deploys.upload import open_upload

    record = store.record_of(app, version)
    if record is not None and record.digest == digest and not wish.ttl_s:
        return _Same(version, is_active=store.active(app) == version)
    active = store.active(app) if wish.if_changed and digest is not None else None
    serving = store.record_of(app, active) if active is not None else None
    if active is not None and serving is not None and serving.digest == digest:
        return _Same(active, is_active=True)
    # Without a digest, whether the content differs is known only when it has arrived.
    replaces = wish.replaces or digest is None
    store.check_free(app, version, replaces=replaces)
    check_room(store.root, size_bytes)
    return open_upload(store.folder_of_uploads)


def _answer(call: Call, deploy: Deploy, location: tuple[str, str]) -> None:
    body = deploy.to_json()
    error = deploy.error
    if error is None:
        is_new = deploy.kind == "deploy" and deploy.progress.step is Step.ACTIVE
        call.answer(body, 201 if is_new else 200, [location])
    else:
        # Like any error, with what is known of the deploy added.
        shown = {"code": error.code, "message": error.message, "requestId": call.exchange.id}
        call.answer({**body, "error": shown}, error.status, [location])
