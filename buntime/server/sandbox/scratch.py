"""Temporary folders of apps, one for each app; HOME and TMPDIR of its workers lead there.

    STATE/tmp-3f2a81c0/          of this runtime; locked, so that no other one takes it for old
      shop/  @acme+blog/         shared by the workers and versions of an app
      shop@1000/                 of an app with a user, whose it is

They are removed when the runtime ends; what a killed runtime has left is removed when the next one
starts. A thread does that: an app may have left millions of files, and the loop's thread makes the
folders.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

from buntime.server.bundle.cachefolder import lock, remove, remove_unused
from buntime.server.pythons.identity import Identity
from buntime.server.state.statefolder import prepare_state

# Short, because a unix socket's path has at most 108 bytes, and multiprocessing makes some here.
_KIND = "tmp-"


class Scratch:
    """Makes the folders as they are requested."""

    def __init__(self, state_dir: str | None, on_failure: Callable[[str, str], None]) -> None:
        """`on_failure` gets a folder that cannot be used, and the reason. Without a state folder
        they are beside the unpacked files."""
        self._state_dir = state_dir
        self._on_failure = on_failure
        # Keyed by whether other users pass through it to theirs. None: there is no place for it.
        self._roots: dict[bool, str | None] = {}
        self._locks: list[int] = []
        self._making = threading.Lock()  # held for two folders; installations are in threads

    def __repr__(self) -> str:
        return f"Scratch({', '.join(self.roots)})"

    @property
    def roots(self) -> tuple[str, ...]:
        """Where the folders are; real paths."""
        return tuple(filter(None, self._roots.values()))

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Those of them that are not in the state folder."""
        own = os.path.realpath(self._state_dir) if self._state_dir else None
        return tuple(root for root in self.roots if os.path.dirname(root) != own)

    def folder_of(self, app_name: str, user: Identity | None) -> str | None:
        """The app's folder, created if needed; None if there is no place for it."""
        is_shared = user is not None
        with self._making:
            if is_shared not in self._roots:
                self._roots[is_shared] = self._find_root(is_shared=is_shared)
        root = self._roots[is_shared]
        if root is None:
            return None
        name = app_name.replace("/", "+")
        folder = f"{root}/{name}" if user is None else f"{root}/{name}@{user.uid}"
        try:
            os.mkdir(folder, 0o700)
            if user is not None:
                os.chown(folder, user.uid, user.gid)
        except FileExistsError:
            return folder
        except OSError as exc:
            self._on_failure(folder, exc.strerror or str(exc))
            return None
        return folder

    def keep_on_exec(self) -> None:
        """Keep the locks in the program that this process becomes."""
        for held in self._locks:
            os.set_inheritable(held, True)

    def close(self) -> None:
        """Remove them all; no worker may be left."""
        for root in self.roots:
            remove(root)
        self._roots.clear()
        for held in self._locks:
            os.close(held)
        self._locks.clear()

    def _find_root(self, *, is_shared: bool) -> str | None:
        for place in _places(self._state_dir, is_shared=is_shared):
            try:
                reason = prepare_state(place, is_shared=is_shared)
                if not reason:
                    return self._make_root(place, is_shared=is_shared)
            except OSError as exc:
                reason = f"{exc.filename or place}: {exc.strerror or exc}"
            self._on_failure(place, reason)
        return None

    def _make_root(self, place: str, *, is_shared: bool) -> str:
        name = f"{_KIND}{os.urandom(4).hex()}"
        root = os.path.join(os.path.realpath(place), name)
        # It gets its name once it is locked: another runtime removes unlocked ones.
        fresh = os.path.join(place, f".{name}")
        os.mkdir(fresh, 0o700)
        if is_shared:
            os.chmod(fresh, 0o711)
        held = lock(fresh)
        if held is not None:
            self._locks.append(held)
        os.rename(fresh, root)
        with contextlib.suppress(RuntimeError):  # no thread can be had: the next start removes it
            threading.Thread(target=_clean_up, args=(root,), name="scratch", daemon=True).start()
        return root


def _clean_up(root: str) -> None:
    with contextlib.suppress(OSError):  # what is left harms nobody
        remove_unused(root)


def _places(state_dir: str | None, *, is_shared: bool) -> Iterator[str]:
    if state_dir is not None:
        yield state_dir
    # Imports tempfile; few starts come here.
    from buntime.server.bundle.unpacking import user_folder

    folder = str(user_folder())
    yield f"{folder}-shared" if is_shared else folder
