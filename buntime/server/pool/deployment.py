"""An app as it is served now, and what its workers are told about it."""

import json
import time
from collections.abc import Mapping

from buntime.core.apps.app import App
from buntime.core.apps.environment import worker_environment
from buntime.core.apps.manifest import to_config
from buntime.core.apps.watching import IMPORTED_MAX, Watching
from buntime.core.plugins.services import caller_of_app, caller_of_plugin
from buntime.core.pool.claims import ImportTime
from buntime.core.pool.workforce import HAS_LEFT, AppState, Policy
from buntime.core.sandbox.groups import limits
from buntime.core.settings.load import Settings
from buntime.core.values.tuples import NamedTuple
from buntime.server.apps.changes import TreeWatch, changed_since
from buntime.server.pool.calling import Caller
from buntime.server.pool.cores import cores
from buntime.server.pythons.identity import Identity
from buntime.server.pythons.probe import Interpreter
from buntime.wire import INIT, Message


class Own(NamedTuple):
    """An app, and the interpreter that it chooses."""

    app: App
    interpreter: Interpreter


class SpareKey(NamedTuple):
    """Interpreter and flags of a spare: only an app with the same key can use it."""

    executable: str
    low_memory: bool
    bundle: str | None = None  # where the worker's code is; None: the runtime's own
    user: Identity | None = None  # the user that it starts as; None: the runtime's
    own: Own | None = None  # the app in whose sandbox it starts; None: in none
    is_confined: bool = True  # sandbox steps that it has taken while it waits cannot be undone


class Init(NamedTuple):
    """An INIT without the worker's name, and the names of variables withheld from it."""

    message: Message
    blocked: tuple[str, ...]
    unpassed: frozenset[str]  # other variables of the runtime that workers do not get

    def of(
        self,
        worker_name: str,
        sandbox: Message | None,
        *,
        tells_framework: bool = False,
        tells_imports: bool = False,
        secrets: Message | None = None,
    ) -> Message:
        """The INIT of one worker; `sandbox` is the order for it."""
        env = {**self.message["env"], "WORKER_ID": worker_name}
        init = {**self.message, "env": env, "worker": worker_name, "sandbox": sandbox}
        if tells_framework:
            init["tells_framework"] = True
        if tells_imports:
            init["tells_imports"] = True
        if secrets is not None:
            init["secrets"] = secrets
        return init


class ColdStart(NamedTuple):
    """What a boot took, and the slowest imports of it."""

    boot_ms: float
    imports: tuple[ImportTime, ...]

    def to_json(self) -> dict[str, object]:
        """For operators."""
        return {"bootMs": self.boot_ms, "imports": [each._asdict() for each in self.imports]}


class Deployment:
    """An app as it is served now: its state for the scheduler, and its INIT."""

    __slots__ = (
        "app",
        "are_blocked_logged",
        "asks_framework",
        "boot_note",
        "cold_start",
        "fallback",
        "init",
        "interpreter",
        "is_refusal_logged",
        "is_slow_logged",
        "limits",
        "limits_lost",
        "made_ns",
        "state",
        "watch",
        "watching",
    )

    def __init__(self, app: App, interpreter: Interpreter, *, is_watched: bool = False) -> None:
        """`is_watched`: each request checks whether a file has changed, as in development."""
        self.app = app
        self.interpreter = interpreter
        self.watching = Watching(app.manifest.watch)
        self.watch = TreeWatch(app.dir, self.watching) if is_watched else None
        self.made_ns = time.time_ns()  # workers have not loaded its code before that
        # Whether its workers report if its framework needs a worker that stays.
        self.asks_framework = app.plugin is None and not app.manifest.ttl_s
        self.is_slow_logged = False  # that each request waits for its boot is logged once
        self.is_refusal_logged = False  # that it was refused a file is logged once
        self.are_blocked_logged = False  # which variables are withheld from it is logged once
        self.boot_note = ""  # why its last boot failed, if it did
        self.cold_start: ColdStart | None = None  # of the last boot that reported it
        self.fallback: App | None = None  # the one that answers if this one cannot be loaded
        self.init: Init | None = None  # what all of its workers are told
        self.limits = limits(to_config(app.manifest))  # that a control group holds
        self.limits_lost: tuple[str, ...] = ()  # the keys of those that have no effect
        self.state = AppState(app.key, _policy(app, interpreter, is_watched=is_watched))

    @property
    def asks_imports(self) -> bool:
        """Whether a worker reports how long its imports took: with `ttl: 0` only the first one,
        because each request pays for the report."""
        return self.app.manifest.ttl_s > 0 or self.cold_start is None

    @property
    def boot_error(self) -> str:
        """Why the last boot failed, with what the runtime adds; "" as long as none has failed.

        The note is there first: from the worker's report on, while the worker is being ended.
        """
        if not self.has_failed:
            return ""
        return "\n".join(filter(None, (self.state.boot_error.rstrip("\n"), self.boot_note)))

    @property
    def has_failed(self) -> bool:
        """Whether the last boot of one of its workers failed."""
        return bool(self.state.boot_error)

    @property
    def stays(self) -> bool:
        """Whether there are workers that have loaded it before a request comes."""
        return self.app.manifest.ttl_s > 0 or self.app.manifest.prewarm > 0

    def has_workers(self) -> bool:
        """Whether a worker that has loaded the app serves it."""
        return any(
            w.boot.is_loaded and w.state not in HAS_LEFT for w in self.state.workers.values()
        )

    def learn_files(self, imported: tuple[str, ...]) -> None:
        """A worker has loaded it, and has imported these files of it."""
        known = self.watching.imported
        if len(known) < IMPORTED_MAX and not known.issuperset(imported):
            known = known.union(imported)
            self.watching = Watching(self.app.manifest.watch, known)
            if self.watch is not None:
                self.watch.watch(self.watching)

    def has_changed_files(self) -> bool:
        """Whether its code may differ from what workers have loaded. Waits for the disk."""
        return bool(changed_since(self.app.dir, self.made_ns, watching=self.watching))

    def may_change(self) -> bool:
        """Whether to check `has_changed`: in development, or after a failed boot."""
        return self.watch is not None or bool(self.state.boot_error)

    @property
    def changed_file(self) -> str | None:
        """The file of the code that made `has_changed` true, if any; relative to its folder."""
        return self.watch.changed_file or None if self.watch is not None else None

    def has_changed(self, app: App, interpreter: Interpreter) -> bool:
        """Whether `app` on `interpreter` needs a new deployment; a changed file is reported
        once."""
        if self.app is not app or self.interpreter != interpreter:
            return True
        return self.watch is not None and self.watch.changed()


def _policy(app: App, interpreter: Interpreter, *, is_watched: bool) -> Policy:
    manifest = app.manifest
    # In development pages should reach the new code; with `replace: after` only one runs.
    is_alone = is_watched or manifest.replace == "after"
    keeps = manifest.affinity == "cookie" and not is_alone
    return Policy(
        spare_key=spare_key(app, interpreter),
        ttl_s=manifest.ttl_s,
        idle_timeout_s=manifest.idle_timeout_s,
        max_requests=manifest.max_requests,
        workers=cores() if manifest.workers == "auto" else manifest.workers,
        prewarm=manifest.prewarm,
        timeout_s=manifest.timeout_s,
        is_exempt=app.plugin is not None,
        is_single=not app.overlaps,
        affinity_s=manifest.affinity_max_s if keeps else 0.0,
    )


def spare_key(app: App, interpreter: Interpreter) -> SpareKey:
    """How an interpreter must be started to become a worker of the app."""
    user = interpreter.user
    return SpareKey(
        interpreter.executable,
        app.manifest.low_memory,
        user and user.bundle,
        user.identity if user and user.is_from_start else None,
        Own(app, interpreter) if interpreter.is_own else None,
        app.manifest.sandbox != "off",
    )


def init_of(
    deployment: Deployment,
    settings: Settings,
    environ: Mapping[str, str],
    own: Mapping[str, str],
) -> Init:
    """What the app's workers are told; for `environ` and `own` see `worker_environment`."""
    if deployment.init is None:
        deployment.init = _make_init(deployment, settings, environ, own)
    return deployment.init


def _make_init(
    deployment: Deployment,
    settings: Settings,
    environ: Mapping[str, str],
    own: Mapping[str, str],
) -> Init:
    app, interpreter = deployment.app, deployment.interpreter
    user = None if interpreter.user is None else interpreter.user.identity
    becomes = None if spare_key(app, interpreter).user else user  # else it is that user already
    config = to_config(app.manifest)
    env, blocked = worker_environment(
        app_dir=str(app.dir),
        base=app.usual_base,
        entrypoint=app.entrypoint,
        config_json=json.dumps(config),
        node_env=settings.env,
        inherited=environ if user is None else {**environ, "HOME": user.home},
        manifest_env=app.manifest.env,
        own=own,
    )
    message: Message = {
        "type": INIT,
        "name": app.name,
        "version": app.version,
        "dir": str(app.dir),
        "entrypoint": app.entrypoint,
        "serves": app.serves,
        "roots": list(app.import_roots),
        "hooks": list(interpreter.hooks),
        "base": app.usual_base,
        "config": config,
        "env": env,
        "path": list(interpreter.path),
        "prefix": interpreter.prefix,
        "message_max": settings.websocket_message_max_bytes,
        "development": settings.is_development,
        "concurrency": app.manifest.concurrency,
        "tells_busy": deployment.state.spreads,
        "tells_files": deployment.stays and app.plugin is None,
        "user": becomes and {"uid": becomes.uid, "gid": becomes.gid, "groups": becomes.groups},
    }
    if app.plugin is not None:
        message["plugin"] = dict(app.plugin)
    elif app.manifest.uses:
        message["uses"] = list(app.manifest.uses)
    unpassed = environ.keys() - env.keys() - {*blocked}
    return Init(message, blocked, frozenset(unpassed))


def caller_of(app: App) -> Caller:
    """The name as which a worker of the app calls services."""
    if app.plugin is None:
        return Caller(caller_of_app(app.name), frozenset(app.manifest.uses))
    name, uses = str(app.plugin["name"]), app.plugin.get("uses")
    return Caller(
        caller_of_plugin(name), frozenset(uses) if isinstance(uses, list) else frozenset(), name
    )
