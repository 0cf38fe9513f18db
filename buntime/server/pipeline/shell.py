"""The shell: which one serves a request, and the step that gives it to a browser's window.

core/sites/shellrules.py decides which requests are for a window. The answer is the shell's page
instead of the requested one; the shell then loads the requested page in a frame.
"""

from collections.abc import Callable

from buntime.core.access.operators import PANEL
from buntime.core.apps.app import App
from buntime.core.apps.router import Target
from buntime.core.errors import ClientFault, ManifestError
from buntime.core.plugins.plan import owner_of
from buntime.core.settings.live import LiveSettings
from buntime.core.sites.shellrules import (
    IN_A_SANDBOX,
    VARY,
    is_for_window,
    may_be_shell,
)
from buntime.server.admin.gate import Gate
from buntime.server.apps.catalog import Catalog
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.morefields import add_fields
from buntime.server.pipeline.steps import AppStep
from buntime.server.plugins.sites import PluginSite
from buntime.server.plugins.way import Plugins

Show = Callable[[Exchange, App, Target], None]


class Shell:
    """Finds the shell that `RUNTIME_SHELL` names, where it may answer."""

    def __init__(
        self, live: LiveSettings, catalog: Catalog, plugins: Plugins, gate: Gate, show: Show
    ) -> None:
        """`show` answers a request with another app than its path names, at the given target."""
        self._live = live
        self._catalog = catalog
        self._plugins = plugins
        self._gate = gate
        self._show = show

    def step(self, app: App, site: PluginSite | None) -> AppStep | None:
        """Answers windows with the shell, for an app or plugin that is shown in it.

        `site` is given for a plugin.
        """
        is_shown = app.manifest.in_shell if site is None else site.is_shown and site.page
        return _ShellStep(self, site) if is_shown and self._live.now.shell else None

    def sandbox_step(self, site: PluginSite | None) -> AppStep | None:
        """Keeps a plugin's pages out of the origin that operators sign in at."""
        if site is None or site.is_trusted or site.name == self._live.now.shell:
            return None

        def keep_in(exchange: Exchange, _: App, __: Target) -> bool:
            if exchange.is_operators:
                add_fields(exchange, IN_A_SANDBOX)  # else its scripts could act as the operator
            return False

        return keep_in

    def find(self, exchange: Exchange) -> tuple[App, Target] | None:
        """The shell for where the request came in; None if there is none."""
        name = self._live.now.shell
        if name is None:
            return None
        site = self._plugins.at_base(owner_of(name))
        if site is None and exchange.is_operators:  # no app answers there
            site = self._plugins.at_base(owner_of(PANEL))
        if site is not None:
            app = site.app or site.page
            if app is None or site.unavailable:
                return None
            if app.manifest.visibility == "operators" and not self._gate.is_for_operators(exchange):
                return None
            return app, Target(app.name, None, app.base, "/")
        if exchange.is_operators:
            return None
        try:
            app = self._catalog.find(name, None, exchange.started_s)
        except (ClientFault, ManifestError):
            return None
        return app, Target(name, None, f"/{name}", "/")

    def show(self, exchange: Exchange, app: App, target: Target) -> None:
        """Answer with the shell's page."""
        self._show(exchange, app, target)


class _ShellStep:
    """The first step of an app's requests; left out if the shell asks for a frame."""

    def __init__(self, shell: Shell, site: PluginSite | None) -> None:
        self._shell = shell
        self._site = site

    def __call__(self, exchange: Exchange, app: App, target: Target) -> bool:
        head, site = exchange.head, self._site
        if not target.base or not may_be_shell(head.method, target.rest):
            return False  # an app with its own host is not one page among others
        if site is not None and not site.is_page(target.rest):
            return False
        found = self._shell.find(exchange)
        if found is None or found[0] is app:
            return False
        add_fields(exchange, (VARY,))
        if not is_for_window(head.headers):
            return False
        self._shell.show(exchange, *found)
        return True


def without_shell(steps: tuple[AppStep, ...]) -> tuple[AppStep, ...]:
    """The steps of a request that the shell itself has made, for a frame."""
    return tuple(step for step in steps if not isinstance(step, _ShellStep))
