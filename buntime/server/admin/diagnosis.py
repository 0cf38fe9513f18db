"""What operators look at when an app misbehaves: errors, autopsies, settings."""

from collections.abc import Mapping
from pathlib import Path

from buntime.core.apps.app import App
from buntime.core.apps.document import read_document
from buntime.core.apps.manifest import SIZE_MAX_BYTES
from buntime.core.apps.whence import settings_of
from buntime.core.errors import ClientFault, ManifestError
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call
from buntime.server.admin.missing import found_app, missing_app
from buntime.server.apps.appfolder import read_manifest
from buntime.server.apps.catalog import Catalog
from buntime.server.loop.loop import Loop
from buntime.server.pool.stats import PoolStats


class DiagnosisPages:
    """Serves these pages."""

    def __init__(self, loop: Loop, catalog: Catalog, stats: PoolStats) -> None:
        self._loop = loop
        self._catalog = catalog
        self._stats = stats

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {
            "apps.errors": self._errors,
            "apps.autopsies": self._autopsies,
            "apps.settings": self._settings,
        }

    def _errors(self, call: Call) -> None:
        name, version = self._scope(call)
        found = self._stats.errors.groups.of_app(name)
        errors = [each.to_json(release) for release, each in found if version in (None, release)]
        call.answer({"app": name, "errors": errors})

    def _autopsies(self, call: Call) -> None:
        name, version = self._scope(call)
        found = self._stats.autopsies.of_app(name)
        autopsies = [each.to_json(release) for release, each in found if version in (None, release)]
        call.answer({"app": name, "autopsies": autopsies})

    def _scope(self, call: Call) -> tuple[str, str | None]:
        name = call.values["app"]
        if not self._catalog.versions_of(name, call.now):
            raise missing_app(call, self._catalog, name)
        return name, call.query["version"]

    def _settings(self, call: Call) -> None:
        """Read the file again in a thread, only for the keys' lines; the values in force stay."""
        name, version = self._scope(call)
        try:
            app = found_app(call, self._catalog, name, version)
        except ManifestError as exc:
            raise ClientFault(409, "app_invalid", str(exc)) from None

        def answer(lines: Mapping[str, int] | BaseException) -> None:
            known = {} if isinstance(lines, BaseException) else lines
            source = str(app.source) if app.source != app.dir else None
            call.answer(
                {
                    "app": name,
                    "version": app.version,
                    "source": source,
                    "settings": settings_of(app.manifest, app.source.name, known),
                }
            )

        self._loop.run_blocking(
            lambda: _lines_of(app), lambda lines: call.guard(lambda: answer(lines))
        )


# In a thread


def _lines_of(app: App) -> Mapping[str, int]:
    """The lines of the keys in its manifest; raises if that cannot be read now."""
    _, text, _ = read_manifest(Path(app.source).parent, app.dir)
    entries = read_document(text or b"", size_max_bytes=SIZE_MAX_BYTES)
    return {key: entry.line for key, entry in entries.items()}
