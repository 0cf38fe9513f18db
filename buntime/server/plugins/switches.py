"""Which plugins operators have switched on and off, in a file that outlives the runtime.

A file that cannot be read is logged, and counts as empty: then the manifests decide, and so a
plugin that guards something is on.
"""

import json
import os
import time

from buntime.core.apps.router import is_app_name
from buntime.core.errors import ServerFault
from buntime.core.telemetry.records import Tell
from buntime.core.values.tuples import NamedTuple
from buntime.server.defence.regularfile import read_regular
from buntime.server.state.statefolder import StateFolder, prepare_state

NAME = "plugins.json"
_SIZE_MAX_BYTES = 1024 * 1024
_WHO_MAX_CHARS = 200


class Switch(NamedTuple):
    """An operator's last decision on a plugin."""

    enabled: bool
    by: str  # where the request came from
    at: str  # "2026-11-26T17:32:04Z"


class Switches:
    """The switches of this runtime's state folder."""

    def __init__(self, state: StateFolder, warn: Tell) -> None:
        self._state = state
        self._path = os.path.join(state.path, NAME)
        self._warn = warn
        self._switches = self._read()

    def __repr__(self) -> str:
        return f"Switches({len(self._switches)} in {self._path})"

    def of(self, name: str) -> Switch | None:
        """The plugin's switch; None where no operator has touched it."""
        return self._switches.get(name)

    def set(self, name: str, *, enabled: bool, by: str) -> Switch:
        """Switch it permanently. Raises ServerFault if that cannot be stored; then nothing
        changes."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        switch = Switch(enabled, by[:_WHO_MAX_CHARS], at)
        self._keep({**self._switches, name: switch})
        return switch

    def reset(self, name: str) -> bool:
        """Undo an operator's switch; False if there is none. Raises like `set`."""
        if name not in self._switches:
            return False
        self._keep({other: each for other, each in self._switches.items() if other != name})
        return True

    def _keep(self, switches: dict[str, Switch]) -> None:
        try:
            self._write(switches)
        except OSError as exc:
            trouble = f"{exc.filename or self._path}: {exc.strerror or exc}"
            raise ServerFault(
                500,
                "state_not_kept",
                "the switch cannot be saved in the state folder",
                detail=trouble,
            ) from exc
        self._switches = switches

    def reread(self) -> None:
        """Another runtime may have written the file."""
        self._switches = self._read()

    def _read(self) -> dict[str, Switch]:
        if self._state.is_off:
            return {}
        try:
            data, _ = read_regular(self._path, _SIZE_MAX_BYTES)
            return {name: _switch(name, each) for name, each in json.loads(data).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as exc:
            self._warn(
                "plugins.switches_unreadable",
                "cannot read which plugins operators switched; their manifests apply",
                file=self._path,
                error=str(exc),
            )
            return {}

    def _write(self, switches: dict[str, Switch]) -> None:
        """By one rename, so that there is always a whole file."""
        trouble = self._state.trouble or prepare_state(self._state.path)
        if trouble:
            raise OSError(0, trouble, self._state.path)
        fresh = f"{self._path}.{os.getpid()}"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump({name: each._asdict() for name, each in switches.items()}, file, indent=1)
        os.replace(fresh, self._path)


def _switch(name: str, value: object) -> Switch:
    if (
        not is_app_name(name)
        or not isinstance(value, dict)
        or type(value.get("enabled")) is not bool
    ):
        raise ValueError(f"{name!r} is not a switch of a plugin")
    return Switch(value["enabled"], str(value.get("by", "")), str(value.get("at", "")))
