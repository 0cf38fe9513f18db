"""What the limit of open files leaves of the settings, and a warning if that is less than asked."""

from buntime.core.settings.load import Settings
from buntime.server.http1.descriptors import fit
from buntime.server.telemetry.logs import Log


class OpenFiles:
    """Fits settings to the limit, and reports what they lose, once for the same loss."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._warned: tuple[int, int] | None = None  # connections and workers

    def __repr__(self) -> str:
        return f"OpenFiles(warned={self._warned})"

    def fit(self, settings: Settings, *, beside: int) -> Settings:
        """The settings, as far as they are possible with this many workers beside the pool."""
        fitted = fit(settings, beside=beside)
        self.tell(settings, fitted)
        return fitted

    def tell(self, settings: Settings, fitted: Settings) -> None:
        """Warn of what is configured and not possible."""
        limits = fitted.connections_max, fitted.pool_size
        if limits == self._warned:
            return
        self._warned = limits
        if fitted.connections_max < settings.connections_max:
            self._log.warn(
                "runtime.connections_limited",
                "limit of open files allows fewer connections; raise it with `ulimit -n`",
                connections=fitted.connections_max,
                connections_max=settings.connections_max,
            )
        if fitted.pool_size < settings.pool_size:
            self._log.warn(
                "runtime.workers_limited",
                "limit of open files allows fewer workers; raise it with `ulimit -n`",
                workers=fitted.pool_size,
                pool_size=settings.pool_size,
            )
