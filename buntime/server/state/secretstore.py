"""The secrets of apps in the runtime's memory: what each worker gets, and their changes.

The folders are read at the start, after each change by an operator, at SIGHUP, and every 10
seconds. Reads and writes run one after the other, on a thread that may wait. If a folder cannot be
read, the values read before stay in effect.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeVar

from buntime.core.apps.app import App
from buntime.core.apps.grants import VALUES_MAX_BYTES, holder_of
from buntime.core.errors import ClientFault, HttpError, ServerFault, StateOff, UsageError
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.telemetry.records import Tell
from buntime.core.values.units import format_size
from buntime.server.loop.loop import Loop
from buntime.server.state.secretfiles import (
    IN_FILES,
    MOUNTED,
    Found,
    SecretFiles,
    Stored,
    not_set,
    state_fault,
)
from buntime.server.state.statefolder import StateFolder

_LOOK_S = 10.0
_T = TypeVar("_T")


def _nothing() -> None:
    pass


# By holder, the names of its secrets that have changed, are new, or have been removed.
Changes = Mapping[str, frozenset[str]]


class NoSecrets(Exception):
    """An app cannot get the secrets that it asks for; says why, and what to do."""


class Secrets:
    """The secrets that are known now."""

    def __init__(self, found: Found | None = None, *, in_files_alone: bool = False) -> None:
        """`in_files_alone`: there is no state folder, so none can be set."""
        self.found: Found = found or {}
        self.in_files_alone = in_files_alone

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.found)} holders)"

    def of(self, app: App) -> dict[str, object] | None:
        """The secrets in the INIT of the app's workers; None if it asks for none. Raises
        NoSecrets."""
        grants = app.manifest.secrets
        if not grants:
            return None
        missing = self.missing(app)
        holder = holder_of(app.name, app.version)
        if missing:
            raise NoSecrets(self.not_set(holder, missing))
        values = {name: self.found[holder][name].value for name in grants}
        if sum(len(value.encode("utf-8")) for value in values.values()) > VALUES_MAX_BYTES:
            most = format_size(VALUES_MAX_BYTES)
            raise NoSecrets(f"the values of {holder}'s secrets are longer than {most} in total")
        return {"values": values, "hidden": [name for name in grants if not grants[name]]}

    def not_set(self, holder: str, missing: Mapping[str, str]) -> str:
        """For each secret that an app asks for and does not get, by name: why."""
        return not_set(holder, missing, in_files_alone=self.in_files_alone)

    def value_of(self, app: App, name: str) -> str | None:
        """The value of a secret that the app asks for; None if there is none."""
        if name not in app.manifest.secrets:
            return None
        found = self.found.get(holder_of(app.name, app.version), {}).get(name)
        return found.value if found is not None else None

    def missing(self, app: App) -> dict[str, str]:
        """The secrets that it asks for and that have no value, by name, with the reason if
        known."""
        stored = self.found.get(holder_of(app.name, app.version), {})
        return {
            name: stored[name].fault if name in stored else ""
            for name in app.manifest.secrets
            if name not in stored or stored[name].fault
        }


def read_secrets(settings: Settings) -> Secrets:
    """All secrets that this process can read, read once. Raises UsageError."""
    folder = settings.state_dir if settings.has_state else None
    try:
        found = SecretFiles(folder).read(settings.secrets_dir)
        return Secrets(found, in_files_alone=folder is None)
    except PermissionError:
        return Secrets()  # the runtime belongs to another user
    except OSError as exc:
        why = exc.strerror or exc
        raise UsageError(f"{exc.filename}: secrets cannot be read: {why}") from exc


class SecretStore(Secrets):
    """Stores secrets, and reports changes. Used on the loop's thread."""

    def __init__(
        self, loop: Loop, live: LiveSettings, state: StateFolder, *, tell: Tell, warn: Tell
    ) -> None:
        super().__init__(in_files_alone=state.is_off)
        self._loop = loop
        self._live = live
        self._tell = tell
        self._warn = warn
        self._state = state
        self._files = SecretFiles(None if state.is_off else state.path)
        self._followers: list[Callable[[Changes], None]] = []
        self._jobs: deque[Callable[[], None]] = deque()  # the first one is under way
        self._reported: set[str] = set()  # faults

    def follow(self, callback: Callable[[Changes], None]) -> None:
        """Call it when secrets have changed."""
        self._followers.append(callback)

    def start(self) -> None:
        """Read them now, and regularly from then on. Waits for the disk: nothing is served yet."""
        try:
            self.found = self._files.read(self._live.now.secrets_dir)
        except OSError as exc:
            self._tell_unreadable(exc)
        self._tell_of_faults()
        self._loop.call_later(_LOOK_S, self._look)

    def reread(self) -> None:
        """Look now."""
        self._do(lambda: None, lambda _: None)

    def set(
        self,
        holder: str,
        name: str,
        value: str,
        then: Callable[[bool | HttpError], None],
        *,
        check: Callable[[], None] = _nothing,
    ) -> None:
        """Store a value; `then` is told whether there was one before, or why storing failed.

        `check` runs when all earlier requests are done, and raises if the change is not allowed.
        Raises ClientFault, ServerFault.
        """
        self.check_changeable(holder, name)
        was_there = name in self.found.get(holder, {})
        self._do(
            lambda: self._files.set(holder, name, value),
            lambda done: then(done if isinstance(done, HttpError) else was_there),
            check,
        )

    def remove(
        self,
        holder: str,
        name: str,
        then: Callable[[bool | HttpError], None],
        *,
        check: Callable[[], None] = _nothing,
    ) -> None:
        """Remove it; `then` is told whether there was one. Like `set`."""
        self.check_changeable(holder, name)
        self._do(lambda: self._files.remove(holder, name), then, check)

    def check_changeable(self, holder: str, name: str) -> None:
        """Raises ClientFault if it is kept elsewhere, ServerFault without a state folder."""
        stored = self.found.get(holder, {}).get(name)
        if stored is not None and stored.origin == MOUNTED:
            message = f"{name} of {holder} comes from {MOUNTED}, which wins; change it there"
            raise ClientFault(409, "secret_mounted", message)
        if self._state.is_off:
            raise StateOff(IN_FILES)
        if self._state.trouble:
            raise ServerFault(503, "state_unavailable", self._state.trouble)

    # One after the other

    def _look(self) -> None:
        if not self._jobs:
            self.reread()
        self._loop.call_later(_LOOK_S, self._look)

    def _do(
        self,
        work: Callable[[], _T],
        then: Callable[[_T | HttpError], None],
        check: Callable[[], None] = _nothing,
    ) -> None:
        """Let a thread do it, and then read the secrets."""
        mounted = self._live.now.secrets_dir

        def run() -> tuple[_T | HttpError, Found | OSError]:
            done: _T | HttpError
            try:
                done = work()
            except OSError as exc:
                done = state_fault(exc)
            try:
                return done, self._files.read(mounted)
            except OSError as exc:
                return done, exc

        def finish(result: tuple[_T | HttpError, Found | OSError] | BaseException) -> None:
            try:
                if isinstance(result, BaseException):
                    raise result
                self._take(result[1])
            finally:
                self._next()  # whose check sees what has been taken
            then(result[0])

        def begin() -> None:
            try:
                check()
            except HttpError as fault:
                self._next()
                then(fault)
            else:
                self._loop.run_blocking(run, finish)

        self._jobs.append(begin)
        if len(self._jobs) == 1:
            self._jobs[0]()

    def _next(self) -> None:
        self._jobs.popleft()
        if self._jobs:
            self._jobs[0]()

    def _take(self, found: Found | OSError) -> None:
        if isinstance(found, OSError):
            self._tell_unreadable(found)
            return
        before, self.found = self.found, _kept(self.found, found)
        self._tell_of_faults()
        changed = changes(before, self.found)
        for holder, names in changed.items():
            self._tell("secret.changed", "secrets changed", holder=holder, names=sorted(names))
        if changed:
            for callback in self._followers:
                callback(changed)

    # What goes wrong

    def _tell_unreadable(self, exc: OSError) -> None:
        text = f"{exc.filename}: {exc.strerror or exc}"
        if exc.filename == self._live.now.secrets_dir:
            text += "; name another folder in RUNTIME_SECRETS_DIR"
        if text not in self._reported:
            self._reported.add(text)
            self._warn(
                "secret.unreadable",
                "a folder of secrets cannot be read; the secrets read before stay in effect",
                error=text,
            )

    def _tell_of_faults(self) -> None:
        for holder, secrets in self.found.items():
            for name, stored in secrets.items():
                if stored.fault and stored.fault not in self._reported:
                    self._reported.add(stored.fault)
                    self._warn(
                        "secret.invalid",
                        "the value of a secret cannot be given to an app",
                        holder=holder,
                        name=name,
                        error=stored.fault,
                    )


def changes(before: Found, after: Found) -> Changes:
    """Which secrets an app would now get differently."""
    found = {}
    for holder in before.keys() | after.keys():
        old, new = before.get(holder, {}), after.get(holder, {})
        names = {name for name in old.keys() | new.keys() if _value(old, name) != _value(new, name)}
        if names:
            found[holder] = frozenset(names)
    return found


def _value(secrets: Mapping[str, Stored], name: str) -> str | None:
    stored = secrets.get(name)
    return None if stored is None or stored.fault else stored.value


def _kept(before: Found, found: Found) -> Found:
    """What was found, with the previous values where the disk cannot be read now."""
    return {
        holder: {
            name: stored
            if stored.is_lasting or (old := before.get(holder, {}).get(name)) is None
            else old
            for name, stored in secrets.items()
        }
        for holder, secrets in found.items()
    }
