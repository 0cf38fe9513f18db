"""The state folder, `RUNTIME_STATE_DIR`: it holds what must outlive the runtime.

    STATE/                 0711, as users of apps pass through it to their own
      lock                 held by one runtime, as long as it lives, with its pid
      control.sock         see admin/control.py
      local.key            see admin/localkey.py; several runtimes may read it
      plugins.json         see plugins/switches.py
      plugin-options.json  see plugins/optionstore.py
      state.db             see statefile.py; beside it its log, state.db-wal
      audit.spool          see auditspool.py
      logs/                see telemetry/applogs.py
      data/                see datafolders.py
      tmp-3f2a81c0/        see sandbox/scratch.py; each runtime has its own

It, the folders above and links that lead to it must belong to the runtime's user or root, and
nobody else may write there.

Two runtimes that wrote here would undo each other's work. So one holds the folder, by a kernel
lock, which ends with the process however that ends. Another one runs without state, says who holds
it, and takes it over when it is free.

With `RUNTIME_STATE=none` nothing in it is read or written, whatever it contains: each of several
replicas would know something different. Only the control socket is created, if the folder exists.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable
from shlex import quote
from typing import TYPE_CHECKING

from buntime.core.errors import StateFault, StateOff
from buntime.core.settings.load import Settings
from buntime.core.telemetry.records import Tell
from buntime.server.bundle.cachefolder import judge, prepare_cache

if TYPE_CHECKING:  # commands import this module
    from buntime.server.loop.loop import Loop

LOCK = "lock"
DATA = "data"
# What `buntime data restore` unpacks into, here and in data/, before it moves that to its place.
STAGED = ".restore-"
_LOOK_S = 1.0  # while another runtime holds it
_PID_MAX_BYTES = 20
_ADVICE = "set RUNTIME_STATE_DIR to a folder of its own"
OFF = StateOff.WHY


def prepare_state(folder: str, *, is_shared: bool = False) -> str:
    """Create the folder if needed; returns why nothing can be stored in it, or "". Raises OSError.

    `is_shared`: users of apps must be able to pass through it, and through those above it.
    """
    is_new = not os.path.exists(folder)
    reason = prepare_cache(folder, is_shared=is_shared)
    if is_new and not reason:
        os.chmod(folder, 0o711)
    return reason


class StateFolder:
    """The folder as one runtime has it."""

    def __init__(self, path: str, *, is_off: bool = False, for_restore: bool = False) -> None:
        """`is_off`: nothing is stored, so it is never taken. `for_restore`: it may be taken after
        a restore that was killed."""
        self.path = path
        self.is_off = is_off
        self._for_restore = for_restore
        self.trouble = OFF if is_off else ""  # why nothing can be stored here, once known
        self._lock: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> "StateFolder":
        """From the settings."""
        return cls(settings.state_dir, is_off=not settings.has_state)

    def __repr__(self) -> str:
        return f"StateFolder({self.path}, {self.trouble or 'no trouble'})"

    def take(self) -> None:
        """Hold it from now on; if that fails `trouble` says why, and what to do."""
        if self._lock is not None or self.is_off:
            return
        try:
            self.trouble = prepare_state(self.path)
            if self.trouble:
                self.trouble = f"{self.trouble}; change that, or {_ADVICE}"
            else:
                self._take_lock(os.path.join(self.path, LOCK))
        except OSError as exc:
            self.trouble = f"{exc.filename or self.path}: {exc.strerror or exc}; {_ADVICE}"

    def fault(self, trouble: str) -> StateFault:
        """The answer when it is not available."""
        return StateOff() if self.is_off else StateFault(trouble)

    def let_go(self) -> None:
        """Another runtime may have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        lock = os.open(path, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(lock).st_mode):
                self.trouble = f"{path} is not a file; remove it, or {_ADVICE}"
                return
            self.trouble = _hold(lock, self.path)
            if not self.trouble and not self._for_restore:
                self.trouble = _half_restored(self.path)
            if not self.trouble:
                self._lock = lock
        finally:
            if self._lock != lock:
                os.close(lock)


def _hold(lock: int, folder: str) -> str:
    """Lock it; returns why that failed, or "". Raises OSError."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, _PID_MAX_BYTES, 0).strip().decode("ascii", "replace")
        who = f"process {holder}" if holder.isdecimal() else "whose process is unknown"
        return f"another runtime, {who}, holds {folder}; stop that one, or {_ADVICE}"
    except OSError as exc:
        return (
            f"{folder} is on a file system without locks ({exc.strerror}); "
            "set RUNTIME_STATE_DIR to a folder on another one"
        )
    with contextlib.suppress(OSError):  # a full disk; it is held nevertheless
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    return ""


def why_unusable(folder: str) -> str:
    """Why a runtime of this user would run without state, as far as can be seen without making or
    locking anything; "" if nothing is known. Waits for the disk."""
    with contextlib.suppress(OSError):  # whatever cannot be read is reported by who writes there
        return judge(folder) or _half_restored(folder)
    return ""


def _half_restored(folder: str) -> str:
    """What to do about a restore that was killed before all was in its place; "" if none was.

    A restore holds the lock, so none is under way. Raises OSError.
    """
    left = [path for path in staged_in(folder) if os.listdir(path)]
    left += staged_in(os.path.join(folder, DATA))
    if not left:
        return ""
    return (
        "a restore was killed before all was in its place; restore again, or, to go on with what "
        f"is there: rm -r {' '.join(map(quote, left))}"
    )


def staged_in(folder: str) -> list[str]:
    """The folders that restores unpack into here. Raises OSError."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    paths = [os.path.join(folder, name) for name in sorted(names) if name.startswith(STAGED)]
    return [path for path in paths if os.path.isdir(path)]


class StateWatch:
    """Reports a state folder that is not available, and takes it when it is."""

    def __init__(
        self,
        state: StateFolder,
        loop: "Loop",
        *,
        tell: Tell,
        warn: Tell,
        look_s: float = _LOOK_S,
    ) -> None:
        self._state = state
        self._loop = loop
        self._tell = tell
        self._warn = warn
        self._look_s = look_s
        self._followers: list[Callable[[], None]] = []

    def follow(self, callback: Callable[[], None]) -> None:
        """Call it when the folder was taken late: another runtime may have changed it."""
        self._followers.append(callback)

    def start(self) -> None:
        """Log what is wrong, if anything; on the loop's thread, like everything else."""
        if self._state.is_off:
            self._tell(
                "state.off",
                "running without state, as RUNTIME_STATE says: keys, secrets and the config come "
                "from files alone, and whatever a replica would keep for itself is refused",
            )
        elif self._state.trouble:
            self._warn(
                "state.unavailable",
                "running without state: plugins cannot be switched, and apps with `data: true` do "
                "not load",
                error=self._state.trouble,
            )
            self._loop.call_later(self._look_s, self._look)

    def _look(self) -> None:
        self._state.take()
        if self._state.trouble:
            self._loop.call_later(self._look_s, self._look)
            return
        self._tell("state.taken", "state folder can be used now", folder=self._state.path)
        for callback in self._followers:
            callback()
