"""The environment of a worker: what it gets, and what it never gets from anywhere."""

from collections.abc import Mapping

from buntime.core.apps.credentials import is_withheld, withheld

# The runtime sets these for each worker; a manifest cannot change them.
RUNTIME_NAMES = ("APP_DIR", "APP_DATA_DIR", "ENTRYPOINT", "WORKER_ID", "WORKER_CONFIG")

INHERITED_NAMES = ("PATH", "HOME", "LANG", "TZ")
INHERITED_PREFIX = "RUNTIME_"
# Where secrets are stored.
_NOT_INHERITED = frozenset(("RUNTIME_MASTER_KEY_FILE", "RUNTIME_SECRETS_DIR"))


def worker_environment(
    *,
    app_dir: str,
    base: str,
    entrypoint: str,
    config_json: str,
    node_env: str,
    inherited: Mapping[str, str],
    manifest_env: Mapping[str, str],
    own: Mapping[str, str] | None = None,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables of an app's workers except WORKER_ID, which each has for itself; and the names
    of the variables that were blocked, sorted.

    `inherited` is the runtime's own environment, `own` what the runtime gives this app instead. The
    manifest's variables override both, even `NODE_ENV` and `APP_BASE`, since proxies may have a
    path of their own in front of the base.
    """
    chosen = {name: value for name, value in inherited.items() if is_inherited(name)}
    chosen |= {"NODE_ENV": node_env, "APP_BASE": base, **(own or {}), **manifest_env}
    environment = {name: value for name, value in chosen.items() if not is_withheld(name, value)}
    environment |= {"APP_DIR": app_dir, "ENTRYPOINT": entrypoint, "WORKER_CONFIG": config_json}
    environment.pop("WORKER_ID", None)
    return environment, tuple(sorted({*withheld(inherited), *withheld(manifest_env)}))


def is_inherited(name: str) -> bool:
    """Whether all workers inherit this variable from the runtime's environment, unless it is
    blocked."""
    is_ours = name.startswith(INHERITED_PREFIX) and name not in _NOT_INHERITED
    return is_ours or name in INHERITED_NAMES
