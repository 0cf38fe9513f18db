"""Finds the worker folder that deploys go into, and says why there is none."""

import os
from collections.abc import Sequence

from buntime.core.errors import ClientFault, StateOff
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.server.deploys.previews import Previews
from buntime.server.deploys.store import Store
from buntime.server.telemetry.logs import Log

_DROP_IN = (
    "to let a systemd service write there, add a drop-in: systemctl edit buntime, "
    "[Service] ReadWritePaths={folder}"
)
_NOT_THERE = "does not exist"


class DeployPlace:
    """The worker folder that deploys go into, by the settings. Used on the loop's thread."""

    def __init__(self, live: LiveSettings, log: Log) -> None:
        self.store: Store | None = None
        self.trouble = ""  # why there is no store
        self.previews = Previews()
        self._log = log
        self._adopt(live.now)
        live.follow(self._adopt)

    def __repr__(self) -> str:
        return f"DeployPlace({self.store or self.trouble})"

    @property
    def folder(self) -> str | None:
        """That folder, if there is one."""
        return self.store.root if self.store is not None else None

    def open(self) -> Store:
        """The store. Raises ClientFault (403) if there is none."""
        if self.store is None:
            raise ClientFault(403, "deploys_off", self.trouble)
        return self.store

    def _adopt(self, settings: Settings) -> None:
        """Undo what was left unfinished there, before any of it is served."""
        before = self.store
        if not settings.has_state:  # the folder belongs to another runtime, which may be deploying
            self.trouble = StateOff.WHY
            return
        self.store, self.trouble = find_store(settings.worker_dirs, settings.deploy_dir)
        if self.store is None or (before is not None and before.root == self.store.root):
            return
        try:
            for release in self.store.sweep():
                self._log.warn(
                    "deploy.undone", "a deploy that was cut short has been undone", release=release
                )
            self.previews.take(self.store.previews())
        except OSError as exc:
            self._log.error(
                "deploy.undo_failed",
                "a deploy that was cut short cannot be undone",
                folder=self.store.root,
                error=str(exc),
            )


def find_store(worker_dirs: Sequence[str], deploy_dir: str | None) -> tuple[Store | None, str]:
    """The store in the folder for deploys; if there is none, why, and what to do about it. Waits
    for the disk."""
    if deploy_dir is not None and deploy_dir not in worker_dirs:
        return None, not_a_worker_folder(deploy_dir)
    wanted = [deploy_dir] if deploy_dir is not None else [*worker_dirs]
    troubles = []
    for folder in wanted:
        trouble = trouble_of(folder)
        if not trouble:
            place = list(worker_dirs).index(folder)
            return Store(folder, worker_dirs[:place]), ""
        troubles.append(trouble)
    return None, "nothing can be deployed: " + "; ".join(troubles)


def trouble_of(folder: str) -> str:
    """Why releases cannot be written there, or ""."""
    why = unwritable(folder)
    if not why:
        return ""
    if why == _NOT_THERE:
        return f"the worker folder {folder} {why}; create it"
    return (
        f"the worker folder {folder} {why}; give it to the runtime's user, or set "
        f"RUNTIME_DEPLOY_DIR; {_DROP_IN.format(folder=folder)}"
    )


def unwritable(folder: str) -> str:
    """Why nothing can be written there, in words that follow the folder's name; "" if it can."""
    if not os.path.isdir(folder):
        return _NOT_THERE
    try:
        is_read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError as exc:
        return f"cannot be examined: {exc.strerror}"
    if is_read_only:
        return "is mounted read-only"
    return "" if os.access(folder, os.W_OK | os.X_OK) else "is not writable by the runtime"


def not_a_worker_folder(deploy_dir: str) -> str:
    """What is wrong with a folder for deploys from which no app is served."""
    return (
        f"RUNTIME_DEPLOY_DIR {deploy_dir} is not a worker folder, so nothing in it is served; "
        "add it to RUNTIME_WORKER_DIRS, or name a folder from there"
    )
