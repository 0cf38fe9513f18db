"""Which plugins exist, which should run, and the state of each. Changes nothing but its own
lists."""

from collections.abc import Iterator, Mapping

from buntime.core.config.configfile import NO_CONFIG
from buntime.core.plugins.manifest import PluginManifest
from buntime.core.plugins.order import Order, provider_names, start_order
from buntime.server.plugins.found import Found
from buntime.server.plugins.life import Life
from buntime.server.plugins.switches import Switches

BY_MANIFEST = "its manifest"
WORKERS_MOST = 2  # per plugin: one that serves, and one that loads to replace it


class Roster:
    """All plugins that were found, and the lives of those that run or try to."""

    def __init__(self, switches: Switches) -> None:
        self.switches = switches
        self.config = NO_CONFIG
        self.found: Mapping[str, Found] = {}
        self.lives: dict[str, Life] = {}
        self.order = Order((), {})
        # Who starts with the runtime: requests wait until it is known which hooks they have.
        self.awaited: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Roster({len(self.found)} found, {len(self.lives)} lives)"

    def is_enabled(self, name: str) -> bool:
        """Whether it should run: as an operator decided last, else the config file, else its
        manifest.
        """
        return self.would_run(name, self.found[name].manifest)

    def would_run(self, name: str, manifest: PluginManifest | None) -> bool:
        """The same for one with this manifest, which need not exist yet."""
        switch, setting = self.switches.of(name), self.config.of(name).enabled
        if switch is not None:
            return switch.enabled
        if setting is not None:
            return setting.value
        return manifest is None or manifest.enabled

    def switched_by(self, name: str) -> str:
        """Who decided that: "an operator (127.0.0.1) at 2026-11-26T17:32:04Z", the place in the
        config file, "its manifest".
        """
        switch, setting = self.switches.of(name), self.config.of(name).enabled
        if switch is not None:
            return f"an operator ({switch.by}) at {switch.at}"
        return BY_MANIFEST if setting is None else setting.place

    def await_all(self, found: Mapping[str, Found]) -> None:
        """Have requests wait for all of these that are started now, and for no others."""
        code = ((name, each.app) for name, each in found.items())
        self.awaited = frozenset(name for name, app in code if app and app.manifest.prewarm)

    def enabled(self) -> Iterator[Found]:
        return (found for name, found in self.found.items() if self.is_enabled(name))

    def reorder(self) -> Order:
        """Determine again which should run, and in which order; returns the previous order."""
        before = self.order
        self.order = start_order(
            self._manifests(),
            disabled=[name for name in self.found if not self.is_enabled(name)],
            failed=dict(self._failed()),
            serving=[name for name, life in self.lives.items() if life.has_served],
            bundled=[name for name, found in self.found.items() if found.is_bundled],
        )
        return before

    def order_with(self, name: str, manifest: PluginManifest | None, *, is_enabled: bool) -> Order:
        """The order if this were the plugin's manifest; None: if the plugin were gone."""
        others = [each for each in self._manifests() if each.name != name]
        disabled = [other for other in self.found if other != name and not self.is_enabled(other)]
        return start_order(
            others if manifest is None else [*others, manifest],
            disabled=disabled if is_enabled else [*disabled, name],
            failed={other: why for other, why in self._failed() if other != name},
            serving=[other for other, life in self.lives.items() if life.has_served],
            bundled=[other for other, found in self.found.items() if found.is_bundled],
        )

    def runs(self, name: str) -> bool:
        """Whether it has been started, or will be, or has a page, which needs no start."""
        found = self.found.get(name)
        if found is None or found.app is not None:
            return found is not None and name in self.lives
        return found.page is not None and name in self.order.start

    def may_run(self, name: str) -> bool:
        """Whether its life may continue: it is in the order, or its own start has failed and is
        tried again.
        """
        if name in self.order.start:
            return True
        failure = self.lives[name].failure
        return bool(failure) and self.order.left_out.get(name) == f"{name} {failure}"

    def may_start(self, name: str) -> bool:
        """Whether all that it needs serves. It is in the order."""
        needed = [self.lives.get(other) for other in self._needs_of(self.found[name].manifest)]
        return all(life is None or life.is_met for life in needed)  # None: a page alone

    def used_of(self, name: str) -> Iterator[str]:
        """The services of a plugin that serving plugins use."""
        providers = provider_names(self._manifests())
        for other, life in self.lives.items():
            manifest = life.serving.found.manifest if life.serving is not None else None
            if manifest is not None and other != name:
                yield from (each for each in manifest.uses if providers.get(each) == name)

    def serves_with(self, name: str) -> Found:
        """The state of its folder that applies to requests: the one that was loaded, if any."""
        life = self.lives.get(name)
        serving = life.serving if life is not None else None
        return serving.found if serving is not None and serving.has_loaded else self.found[name]

    def why_not(self, name: str) -> str:
        """Why it does not serve and will not soon; "" if it does or will."""
        life = self.lives.get(name)
        if life is not None and life.has_served:
            return ""
        if life is not None and life.failure:
            return life.failure
        return self.order.left_out.get(name, "")

    def is_coming(self, name: str) -> bool:
        """Is it being started, or waits for that, and has never served nor failed?"""
        life = self.lives.get(name)
        return life is not None and not life.has_served and not self.why_not(name)

    def _failed(self) -> Iterator[tuple[str, str]]:
        """Which plugins cannot be started, and why, in words that follow the name."""
        for name, found in self.found.items():
            life = self.lives.get(name)
            if life is not None and life.has_served:
                continue
            if life is not None and life.failure:
                yield name, life.failure
            elif found.manifest is None:
                yield name, f"cannot be read: {found.error}"
            elif found.error and not found.is_last_good:
                yield name, f"cannot be started: {found.error}"

    def _manifests(self) -> Iterator[PluginManifest]:
        return (each.manifest for each in self.found.values() if each.manifest is not None)

    def _needs_of(self, manifest: PluginManifest | None) -> Iterator[str]:
        """The plugins that must be started before it, if they are in the order."""
        if manifest is None:
            return
        ordered = (self.found[name].manifest for name in self.order.start)
        providers = provider_names(each for each in ordered if each is not None)
        needs = [each.name for each in (*manifest.dependencies, *manifest.optional_dependencies)]
        needs += [providers[service] for service in manifest.uses if service in providers]
        yield from (name for name in needs if name in self.order.start)
