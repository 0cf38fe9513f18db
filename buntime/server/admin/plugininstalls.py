"""Operators install plugins from archives, and remove what was installed.

Faults that the head alone shows are reported before the archive is asked for. A client that asks
for NDJSON gets a line for each step; others get only the result.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import IO, TYPE_CHECKING

from buntime.core.admin.apitags import tag_of
from buntime.core.admin.audittrail import DONE
from buntime.core.apps.router import is_app_name
from buntime.core.deploys.digests import digest_in
from buntime.core.deploys.steps import Step
from buntime.core.errors import ClientFault, HttpError
from buntime.core.values.wording import shown
from buntime.server.admin.api import Handler
from buntime.server.admin.archives import Archives
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.call import Call
from buntime.server.admin.plugins import found_plugin
from buntime.server.admin.streaming import NDJSON
from buntime.server.deploys.deploy import Deploy
from buntime.server.deploys.disk import check_room, storage_fault
from buntime.server.plugins.detail import changeable
from buntime.server.plugins.installer import Installer, Wish
from buntime.server.plugins.installground import refuse_bundled
from buntime.server.plugins.plugins import Plugins
from buntime.server.plugins.pluginstore import VERSION, PluginStore
from buntime.server.plugins.remover import Remover

if TYPE_CHECKING:
    from buntime.server.deploys.upload import Upload

_DIGEST_CHARS = 12  # in a release's name


class PluginInstallPages:
    """Serves these pages."""

    def __init__(
        self,
        plugins: Plugins,
        audit: Audit,
        installer: Installer,
        remover: Remover,
        archives: Archives,
    ) -> None:
        self._remover = remover
        self._plugins = plugins
        self._audit = audit
        self._installer = installer
        self._archives = archives

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"plugins.install": self._install, "plugins.remove": self._remove}

    # Installing

    def _install(self, call: Call) -> None:
        name, installer = call.values["plugin"], self._installer
        if not is_app_name(name):
            raise ClientFault(
                400, "bad_plugin_name", f"{shown(name)} is not the name of a plugin; use letters, "
                "digits and ._~-, like audit or @acme/audit",
            )  # fmt: skip
        refuse_bundled(self._plugins.roster, name)
        store = installer.place.open()
        self._check_match(call)
        self._archives.check_head(call)
        digest = digest_in(call.header("content-digest"))
        size = call.exchange.head.content_length
        installer.loop.run_blocking(
            lambda: _open(store, name, digest, size),
            lambda result: call.guard(lambda: self._looked(call, digest, result)),
        )

    def _changeable(self, name: str) -> object:
        is_found = name in self._plugins.roster.found
        return changeable(self._plugins, name) if is_found else None

    def _looked(
        self, call: Call, digest: str | None, result: IO[bytes] | BaseException | None
    ) -> None:
        """The head shows no fault: the archive may come."""
        if isinstance(result, OSError):
            raise storage_fault(result)
        if isinstance(result, BaseException):
            raise result
        name, by = call.values["plugin"], call.caller.name
        deploy = self._installer.begin(name, by, is_dry_run=call.is_dry_run)
        if result is None:
            self._follow(call, deploy)
            deploy.reach(Step.UNCHANGED)
        elif call.is_gone:
            result.close()
        else:
            on_begin = partial(deploy.attempt, Step.RECEIVED)
            received = partial(self._received, call, deploy)
            self._archives.take(call, result, digest, on_begin=on_begin, then=received)

    def _received(self, call: Call, deploy: Deploy, result: "Upload | HttpError") -> None:
        if isinstance(result, HttpError):
            deploy.fail(result, log=[])
            raise result
        deploy.reach(Step.RECEIVED, bytes=result.size_bytes, digest=result.digest)
        name, is_off = call.values["plugin"], call.query["enabled"] is False
        check = partial(self._check_match, call)
        wish = Wish(check, is_dry_run=call.is_dry_run, is_off=is_off, by=call.address)
        self._follow(call, deploy)
        self._noted(call, deploy, name, lambda: self._installer.install(deploy, name, result, wish))

    def _check_match(self, call: Call) -> None:
        call.check_match(self._changeable(call.values["plugin"]))

    def _noted(self, call: Call, deploy: Deploy, name: str, go: Callable[[], None]) -> None:
        """Carry it out between two entries of the audit trail; the client may leave."""

        def end(begun: Begun) -> None:
            error, step = deploy.error, deploy.progress.step
            result = "unchanged" if step is Step.UNCHANGED else DONE
            after = self._version_of(name)
            begun.end(after, result if error is None else f"failed: {error.code}")

        def act(begun: Begun) -> None:
            deploy.at_end(lambda: end(begun))
            go()

        if call.is_dry_run:
            go()
        else:
            self._audit.begin(call, name, self._version_of(name), then=act)

    def _version_of(self, name: str) -> dict[str, object] | None:
        found = self._plugins.roster.found.get(name)
        if found is None or found.manifest is None:
            return None
        return {"version": found.manifest.version, "folder": str(found.folder)}

    def _follow(self, call: Call, deploy: Deploy) -> None:
        """Answer with its progress, or with its result."""
        if call.accepts(NDJSON):
            stream = call.stream(NDJSON)
            deploy.follow(stream.line)
            deploy.at_end(stream.finish)
        else:
            deploy.at_end(lambda: self._answer(call, deploy))

    def _answer(self, call: Call, deploy: Deploy) -> None:
        body, error = deploy.to_json(), deploy.error
        if error is None:
            tag = ("etag", tag_of(self._changeable(call.values["plugin"])))
            call.answer(body, 201 if deploy.progress.step is Step.ACTIVE else 200, [tag])
            return
        message = {"code": error.code, "message": error.message, "requestId": call.exchange.id}
        call.answer({**body, "error": message}, error.status)

    # Removing

    def _remove(self, call: Call) -> None:
        name = found_plugin(call, self._plugins)
        call.check_match(changeable(self._plugins, name))
        self._remover.check(name, call.query["confirm"])
        before = self._version_of(name)

        if call.is_dry_run:
            call.answer({"name": name, "removed": False})
            return

        def removed(begun: Begun, fault: BaseException | None) -> None:
            if fault is not None:
                raise fault
            begun.end()
            call.answer({"name": name, "removed": True})

        def act(begun: Begun) -> None:
            self._check_match(call)  # it may have changed meanwhile

            def then(fault: BaseException | None) -> None:
                call.guard(lambda: begun.run(lambda: removed(begun, fault)))

            self._remover.remove(name, then)

        self._audit.begin(call, name, before, then=act)


def _open(store: PluginStore, name: str, digest: str | None, size_bytes: int) -> IO[bytes] | None:
    """A file for the archive; None if this content exists already. In a thread."""
    # See `Archives`.
    from buntime.server.deploys.upload import open_upload

    store.refuse_in_the_way(name)
    release = store.release_at(name, VERSION)
    if (
        release is not None
        and digest is not None
        and release.endswith(f"-{digest[:_DIGEST_CHARS]}")
    ):
        return None
    check_room(store.root, size_bytes)
    return open_upload(store.folder_of_uploads)
