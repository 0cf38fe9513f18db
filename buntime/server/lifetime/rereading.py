"""Reads the settings again while the runtime runs."""

from collections.abc import Callable
from dataclasses import replace

from buntime.core.errors import UsageError
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings, fitted, reloaded
from buntime.server.admin.audit import Audit
from buntime.server.lifetime.announcing import warn_of_void
from buntime.server.telemetry.logs import Log


class Rereading:
    """Applies the changed settings that can change at run time, and names the others."""

    def __init__(
        self,
        live: LiveSettings,
        configured: Settings,
        read: Callable[[], Settings],
        log: Log,
        *,
        fit: Callable[[Settings], Settings],
    ) -> None:
        """`configured` are the settings as read at the start; where `live` listens may have been
        decided elsewhere. `read` returns them as a start would read them now, `fit` reduces them to
        what this machine allows.
        """
        self._live = live
        self._configured = configured
        self._read = read
        self._fit = fit
        self._log = log

    def fit_again(self) -> None:
        """This machine now allows something else of what is configured."""
        configured = replace(self._configured, listen=self._live.now.listen)
        settings = fitted(configured, self._fit(configured))
        if settings != self._live.now:
            self._live.replace(settings)

    def reread(self, audit: Audit) -> None:
        """Apply what has changed, and record it. Settings with a fault change nothing."""
        origins = self._configured.origins
        try:
            self._configured, changed, late = reloaded(self._configured, self._read())
        except UsageError as exc:
            self._live.rejected = str(exc)
            self._log.error(
                "settings.rejected",
                "settings are invalid; keeping the current ones",
                error=str(exc),
            )
            audit.own("config.reread", "settings", result="settings_rejected")
            return
        self._live.rejected = ""
        if late:
            self._log.warn("settings.restart_needed", "changed settings need a restart", names=late)
        if changed or self._configured.origins != origins:
            self.fit_again()
        if changed:
            self._log.info("settings.changed", "settings changed", names=changed)
            warn_of_void(self._log, self._live.now)
        audit.own("config.reread", "settings", after={"changed": changed})
