"""Makes a runtime's pool and what its workers need: the bundle, sandboxes, interpreters."""

import os
import sys
from pathlib import Path

from buntime.core.settings.live import LiveSettings
from buntime.core.values.tuples import NamedTuple
from buntime.server.bundle.bundle import default_cache_dir, ensure_bundle, keep_fresh
from buntime.server.bundle.carried import carried_plugins
from buntime.server.loop.loop import Loop
from buntime.server.pool.pool import Pool
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.users import Users
from buntime.server.sandbox.probe import find_kernel
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.state.statefolder import StateFolder
from buntime.server.telemetry.logs import Log

_PACKAGE = Path(__file__).parents[3]  # the folder that contains buntime/


class Staff(NamedTuple):
    """The pool, and the interpreters that it uses."""

    interpreters: Interpreters
    pool: Pool


def make_staff(loop: Loop, live: LiveSettings, log: Log, state: StateFolder) -> Staff:
    """Make all of it, with no worker yet."""
    environ = dict(os.environ)
    bundle = ensure_bundle(default_cache_dir(environ), warn=log.warn)
    keep_fresh(bundle, _PACKAGE, Path(sys.prefix))
    sandboxes = Sandboxes(
        find_kernel(),
        live,
        bundle=str(bundle),
        environ=environ,
        warn=log.warn,
        state=state,
        carried=str(carried_plugins()),
    )
    interpreters = Interpreters(
        live.now.python,
        tell=log.info,
        users=Users(fixed=live.now.app_users, warn=log.warn),
        confinement=sandboxes.starts,
    )
    pool = Pool(
        loop,
        live,
        log,
        interpreters=interpreters,
        sandboxes=sandboxes,
        bundle=str(bundle),
        environ=environ,
    )
    return Staff(interpreters, pool)
