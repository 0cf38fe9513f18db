"""The order in which plugins start, and why some do not start.

Kahn's algorithm over the enabled plugins, ties by name, so that the order is the same on every
machine. What a plugin needs starts before it: its `dependencies`, those of its
`optionalDependencies` that exist, and the plugins that offer the services it `uses`.

Left out, each with a sentence that says why, are

1. plugins that have failed, or whose manifest cannot be read, as reported by the caller
2. the second of two plugins with the same base, the same service, or `signIn`. The first is the one
   that already serves, or else the first by name; plugins bundled with Buntime come last
3. plugins that need one that is not installed, disabled, of another version, or left out
4. the members of a cycle, with the whole cycle in the message

A disabled plugin is neither started nor left out.
"""

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from buntime.core.plugins.manifest import PluginManifest
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import nearest, suggestion

_NOTHING: Mapping[str, str] = {}


class Order(NamedTuple):
    """The plugins that start, in this order, and why the other enabled ones do not."""

    start: tuple[str, ...]
    left_out: Mapping[str, str]  # by name: "audit needs keyval, which is disabled"

    @property
    def stop(self) -> tuple[str, ...]:
        return self.start[::-1]


class _Need(NamedTuple):
    """Why one plugin must start before another, in words that follow the other's name."""

    name: str
    words: str  # "needs keyval ^1.0", "uses kv of keyval"


def start_order(
    manifests: Iterable[PluginManifest],
    *,
    disabled: Collection[str] = (),
    failed: Mapping[str, str] = _NOTHING,
    serving: Collection[str] = (),
    bundled: Collection[str] = (),
) -> Order:
    """The order of the installed plugins; names are unique.

    `disabled` are those that somebody has switched off. `failed` says why some cannot start, in
    words that follow the name: "cannot be read: ...". `serving` are those that serve now, `bundled`
    those that come with Buntime.
    """
    there = {each.name: each for each in sorted(manifests, key=lambda each: each.name)}
    enabled = {name: each for name, each in there.items() if name not in disabled}
    why: dict[str, str] = {name: words for name, words in failed.items() if name in enabled}
    ranked = sorted(enabled, key=lambda name: (name not in serving, name in bundled, name))
    _refuse_second_bases([enabled[name] for name in ranked], why)
    providers = _providers([enabled[name] for name in ranked], why)
    graph = _Graph(there, enabled, failed, providers)
    needs = {name: graph.needs_of(enabled[name], why) for name in enabled}
    _spread(needs, why)
    start = _kahn(needs, why)
    if len(start) + len(why) < len(enabled):
        _name_circles(needs, [name for name in enabled if name not in why], why)
        _spread(needs, why)
        start = _kahn(needs, why)
    return Order(tuple(start), {name: f"{name} {why[name]}" for name in sorted(why)})


def provider_names(manifests: Iterable[PluginManifest]) -> dict[str, str]:
    """The plugin that offers each service; the first if there are two."""
    found: dict[str, str] = {}
    for manifest in manifests:
        for service, _ in manifest.provides:
            found.setdefault(service, manifest.name)
    return found


def _refuse_second_bases(ranked: Sequence[PluginManifest], why: dict[str, str]) -> None:
    holders: dict[str, str] = {}
    host = next((each.name for each in ranked if each.sign_in), "")
    for manifest in ranked:
        if manifest.sign_in and manifest.name != host:
            why.setdefault(manifest.name, f"has signIn, but {host} signs people in already")
        if manifest.base is not None:
            holder = holders.setdefault(manifest.base, manifest.name)
            if holder != manifest.name:
                why.setdefault(
                    manifest.name, f"has the base {manifest.base}, which {holder} has already"
                )


def _providers(ranked: Sequence[PluginManifest], why: dict[str, str]) -> dict[str, str]:
    providers = provider_names(ranked)
    for manifest in ranked:
        for service, _ in manifest.provides:
            if providers[service] != manifest.name:
                why.setdefault(
                    manifest.name,
                    f"offers the service {service}, which {providers[service]} offers already",
                )
    return providers


class _Graph:
    """Which plugins need which, among those that exist."""

    def __init__(
        self,
        there: Mapping[str, PluginManifest],
        enabled: Mapping[str, PluginManifest],
        failed: Mapping[str, str],
        providers: Mapping[str, str],
    ) -> None:
        self._there = there
        self._enabled = enabled
        self._failed = failed
        self._providers = providers

    def needs_of(self, manifest: PluginManifest, why: dict[str, str]) -> list[_Need]:
        """The plugins that must start before it and can; those that cannot are explained in
        `why`."""
        needs = []
        for dependency in manifest.dependencies:
            lack = self._lack(dependency.name, manifest.name)
            other = self._enabled.get(dependency.name)
            if other is not None and not dependency.is_met_by(other.version):
                lack = f"which is {other.version}"
            if lack:
                why.setdefault(manifest.name, f"needs {dependency}, {lack}")
            needs.append(_Need(dependency.name, f"needs {dependency}"))
        for dependency in manifest.optional_dependencies:
            other = self._enabled.get(dependency.name)
            if other is not None and dependency.is_met_by(other.version):
                needs.append(_Need(dependency.name, ""))
        for service in manifest.uses:
            provider = self._providers.get(service)
            if provider is None:
                why.setdefault(manifest.name, f"uses {service}, {self._unoffered(service)}")
            else:
                needs.append(_Need(provider, f"uses {service} of {provider}"))
        return needs

    def _lack(self, name: str, of: str) -> str:
        if name in self._enabled:
            return ""
        if name in self._there:
            return "which is disabled"
        if name in self._failed:
            return f"which {self._failed[name]}"
        near = suggestion(name, (each for each in self._there if each != of))
        see = " (see buntime plugins list)" if near else "; see buntime plugins list"
        return f"which is not installed{near}{see}"

    def _unoffered(self, service: str) -> str:
        for name, manifest in self._there.items():
            if any(service == each for each, _ in manifest.provides):
                return f"a service of {name}, which is disabled"
        near = nearest(service, self._providers)
        if near is not None:
            return f"a service that no plugin offers; did you mean {near}?"
        return (
            "a service that no plugin offers; install the plugin that does, or take it out of "
            "`uses` in the manifest"
        )


def _spread(needs: Mapping[str, list[_Need]], why: dict[str, str]) -> None:
    """Leave out every plugin that needs one that is left out; the sentence names the first
    cause."""
    dependents: dict[str, list[tuple[str, str]]] = {}
    for name, own_needs in needs.items():
        for need in own_needs:
            if need.words:
                dependents.setdefault(need.name, []).append((name, need.words))
    root = {name: name for name in why}
    queue = deque(sorted(why))
    while queue:
        gone = queue.popleft()
        for name, words in dependents.get(gone, ()):
            if name not in why:
                root[name] = root[gone]
                cause = "" if root[gone] == gone else f"{root[gone]} "
                how = "which" if not cause else "which is left out because"
                why[name] = f"{words}, {how} {cause}{why[root[gone]]}"
                queue.append(name)


def _kahn(needs: Mapping[str, list[_Need]], why: Mapping[str, str]) -> list[str]:
    """The plugins that are not left out, each after what it needs, ties by name; without cycles."""
    waits = {
        name: {need.name for need in own_needs if need.name not in why}
        for name, own_needs in needs.items()
        if name not in why
    }
    frees: dict[str, list[str]] = {}
    for name, others in waits.items():
        for other in others:
            frees.setdefault(other, []).append(name)
    ready = [name for name, others in waits.items() if not others]
    heapq.heapify(ready)
    start = []
    while ready:
        name = heapq.heappop(ready)
        start.append(name)
        for follower in frees.get(name, ()):
            waits[follower].discard(name)
            if not waits[follower]:
                heapq.heappush(ready, follower)
    return start


def _name_circles(
    needs: Mapping[str, list[_Need]], names: Sequence[str], why: dict[str, str]
) -> None:
    """Explain the cycle for each plugin that needs itself by way of others."""
    alive = set(names)
    after = {name: sorted({n.name for n in needs[name]} & alive) for name in names}
    for name in names:
        way = _way_back(name, after)
        if way:
            first = way.index(min(way))  # the same words for all members
            circle = [*way[first:], *way[:first], way[first]]
            why[name] = (
                f"is in a cycle of dependencies: {' -> '.join(circle)}; remove one of them from "
                "its manifest"
            )


def _way_back(start: str, after: Mapping[str, list[str]]) -> list[str]:
    """The shortest path from a plugin along its needs back to it, without its end; [] for none."""
    before = dict.fromkeys(after[start], start)
    queue = deque(after[start])
    while queue and start not in before:
        name = queue.popleft()
        for other in after[name]:
            if other not in before:
                before[other] = name
                queue.append(other)
    if start not in before:
        return []
    way = [start]
    while before[way[-1]] != start:
        way.append(before[way[-1]])
    return [start, *way[:0:-1]]
