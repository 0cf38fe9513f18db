"""What the limit of open files leaves of the settings, and a warning if that is less than asked."""

from buntime.core.settings.load import Settings
from buntime.server.http1.descriptors import fit
from buntime.server.telemetry.logs import Log

# Each plugin that comes or goes takes or leaves a few: this share of what was told is no news.
_NEWS_SHARE = 0.9


class OpenFiles:
    """Fits settings to the limit, and reports what they lose: once, and again when it is more."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._told: dict[str, int] = {}  # what was left of "connections" and "workers"

    def __repr__(self) -> str:
        return f"OpenFiles(told={self._told})"

    def fit(self, settings: Settings, *, beside: int) -> Settings:
        """The settings, as far as they are possible with this many workers beside the pool."""
        fitted = fit(settings, beside=beside)
        self.tell(settings, fitted)
        return fitted

    def tell(self, settings: Settings, fitted: Settings) -> None:
        """Warn of what is configured and not possible."""
        if self._is_news("connections", fitted.connections_max, settings.connections_max):
            self._log.warn(
                "runtime.connections_limited",
                "limit of open files allows fewer connections; raise it with `ulimit -n`",
                connections=fitted.connections_max,
                connections_max=settings.connections_max,
            )
        if self._is_news("workers", fitted.pool_size, settings.pool_size):
            self._log.warn(
                "runtime.workers_limited",
                "limit of open files allows fewer workers; raise it with `ulimit -n`",
                workers=fitted.pool_size,
                pool_size=settings.pool_size,
            )

    def _is_news(self, what: str, left: int, asked: int) -> bool:
        if left >= asked:
            self._told.pop(what, None)
            return False
        told = self._told.get(what)
        if told is not None and told * _NEWS_SHARE < left:
            return False
        self._told[what] = left
        return True
