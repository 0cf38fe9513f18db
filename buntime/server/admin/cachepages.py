"""What the runtime keeps for speed and can do without: `GET /api/caches`, and a purge.

verdicts       cacheable verdicts of plugins' hooks: plugins are asked again
interpreters   what apps' Pythons reported about themselves: they are asked at the next start
environments   packages of users' apps whose versions are gone; the others stay, and so do those
               of other runtimes on the host
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.admin.cacheroutes import KINDS
from buntime.core.apps.app import app_key
from buntime.core.errors import ServerFault
from buntime.core.plugins.verdictcache import VerdictCache
from buntime.core.values.tuples import NamedTuple
from buntime.server.admin.api import Handler
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.call import Call
from buntime.server.admin.parts import Parts
from buntime.server.pythons.environments import Environments, all_environments, remove
from buntime.server.state.datasize import size_of

_MEANINGS = {
    "verdicts": "verdicts of plugins' hooks that are kept for a while",
    "interpreters": "what the Pythons of apps have reported about themselves",
    "environments": "packages of app versions that no longer exist",
}


class Held(NamedTuple):
    """What purging one cache removes. Memory of unknown size counts as 0 bytes."""

    entries: int
    size_bytes: int


class CachePages:
    """Serves these pages."""

    def __init__(
        self,
        parts: Parts,
        audit: Audit,
        *,
        environments: Callable[[], list[Environments]] = all_environments,
    ) -> None:
        self._parts = parts
        self._audit = audit
        self._environments = environments

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"caches.list": self._list, "caches.purge": self._purge}

    def _list(self, call: Call) -> None:
        def then(held: Mapping[str, Held], _: list[Environments]) -> None:
            caches = [
                {**_cache_json(name, held[name]), "meaning": _MEANINGS[name]} for name in KINDS
            ]
            call.answer({"caches": caches})

        self._look(call, then)

    def _purge(self, call: Call) -> None:
        call.json(lambda value: self._wanted(call, (value or {}).get("caches") or KINDS))

    def _wanted(self, call: Call, kinds: Iterable[str]) -> None:
        names = [name for name in KINDS if name in kinds]

        def then(held: Mapping[str, Held], gone: list[Environments]) -> None:
            wanted = {name: held[name] for name in names}
            if call.is_dry_run:
                self._tell(call, wanted)
                return

            def act(begun: Begun) -> None:
                self._empty(names)
                if "environments" not in names:
                    self._end(call, begun, wanted)
                    return
                self._parts.service.loop.run_blocking(
                    lambda: _removed(gone),
                    lambda result: call.guard(
                        lambda: begun.run(lambda: self._removed(call, begun, wanted, result))
                    ),
                )

            self._audit.begin(call, ", ".join(names), then=act)

        self._look(call, then)

    def _look(
        self, call: Call, then: Callable[[Mapping[str, Held], list[Environments]], None]
    ) -> None:
        """Find what is cached; environments on a thread."""

        def found(result: list[Environments] | BaseException) -> None:
            gone = [each for each in _unless_fault(result) if self._is_gone(each, call.now)]
            loop = self._parts.service.loop
            loop.run_blocking(
                lambda: sum(size_of(each.path)[1] for each in gone),
                lambda size: call.guard(lambda: then(self._held(gone, _unless_fault(size)), gone)),
            )

        self._parts.service.loop.run_blocking(
            self._environments, lambda result: call.guard(lambda: found(result))
        )

    def _held(self, gone: list[Environments], size_bytes: int) -> dict[str, Held]:
        kept = self._parts.kept
        return {
            "verdicts": Held(len(kept), kept.size_bytes),
            "interpreters": Held(self._parts.interpreters.count, 0),
            "environments": Held(len(gone), size_bytes),
        }

    def _is_gone(self, made: Environments, now: float) -> bool:
        """Whether the version no longer exists and has no worker, here or in another runtime."""
        parts, key = self._parts, made.key
        if made.has_app:
            return False
        if any(
            each.app.key == key and each.state.workers
            for each in parts.pool.deployments.by_state.values()
        ):
            return False
        if key.startswith(PLUGIN_PREFIX):
            return key.removeprefix(PLUGIN_PREFIX) not in parts.plugins.roster.found
        return key not in {app_key(*each) for each in parts.catalog.names(now)}

    def _empty(self, names: Iterable[str]) -> None:
        """Empty the caches in memory."""
        if "verdicts" in names:
            _forget(self._parts.kept)
        if "interpreters" in names:
            self._parts.interpreters.forget()

    def _removed(
        self,
        call: Call,
        begun: Begun,
        wanted: dict[str, Held],
        result: list[str] | BaseException,
    ) -> None:
        troubles = _unless_fault(result)
        if troubles:
            raise ServerFault(500, "not_removed", f"some could not be removed: {troubles[0]}")
        self._end(call, begun, wanted)

    def _end(self, call: Call, begun: Begun, wanted: Mapping[str, Held]) -> None:
        begun.end({name: held._asdict() for name, held in wanted.items()})
        self._tell(call, wanted)

    def _tell(self, call: Call, wanted: Mapping[str, Held]) -> None:
        freed = sum(held.size_bytes for held in wanted.values())
        purged = [_cache_json(name, held) for name, held in wanted.items()]
        call.answer({"purged": purged, "freedBytes": freed, "isDryRun": call.is_dry_run})


def _cache_json(name: str, held: Held) -> dict[str, Any]:
    return {"name": name, "entries": held.entries, "bytes": held.size_bytes}


def _forget(kept: VerdictCache) -> None:
    """Have plugins asked again, whatever they said; what they forget by tag works as before."""
    kept.clear()


def _removed(gone: Iterable[Environments]) -> list[str]:
    """Remove them; returns what went wrong. In a thread."""
    troubles = []
    for each in gone:
        try:
            remove(each)
        except Exception as exc:  # noqa: BLE001  # from the disk, or from switching to its user
            troubles.append(f"{each.path}: {exc}")
    return troubles


def _unless_fault(result: Any) -> Any:
    if isinstance(result, BaseException):
        raise result
    return result
