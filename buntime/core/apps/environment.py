"""The environment of a worker: what it gets, and what it never gets, wherever that comes from."""

from collections.abc import Iterable, Mapping

# Set by the runtime for each worker; a manifest cannot change them.
RUNTIME_NAMES = ("APP_DIR", "APP_DATA_DIR", "ENTRYPOINT", "WORKER_ID", "WORKER_CONFIG")

INHERITED_NAMES = ("PATH", "HOME", "LANG", "TZ")
INHERITED_PREFIX = "RUNTIME_"
_NOT_INHERITED = frozenset(("RUNTIME_MASTER_KEY_FILE",))  # where a secret lies

BLOCKED_PREFIXES = (
    "DATABASE_",
    "DB_",
    "AWS_",
    "GITHUB_",
    "OPENAI_",
    "ANTHROPIC_",
    "STRIPE_",
)
BLOCKED_SUFFIXES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")


def is_blocked(name: str) -> bool:
    """Whether a variable is kept from workers: `"DB_URL"`, `"my_token"`; case does not count."""
    upper = name.upper()
    return upper.startswith(BLOCKED_PREFIXES) or upper.endswith(BLOCKED_SUFFIXES)


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
    """The variables of an app's workers but WORKER_ID, which each has for itself; and the names
    of those that were blocked, sorted.

    `inherited` is the runtime's own environment, `own` what the runtime gives this app instead.
    The manifest's variables win over both, `NODE_ENV` and `APP_BASE`, since proxies may have a path
    of their own in front of the base.
    """
    chosen = {name: value for name, value in inherited.items() if is_inherited(name)}
    chosen |= {"NODE_ENV": node_env, "APP_BASE": base, **(own or {}), **manifest_env}
    chosen |= {"APP_DIR": app_dir, "ENTRYPOINT": entrypoint, "WORKER_CONFIG": config_json}
    chosen.pop("WORKER_ID", None)
    environment = {name: value for name, value in chosen.items() if not is_blocked(name)}
    return environment, _blocked([*inherited, *manifest_env])


def is_inherited(name: str) -> bool:
    """Whether all workers get a variable of the runtime's own environment, if it is not blocked."""
    is_ours = name.startswith(INHERITED_PREFIX) and name not in _NOT_INHERITED
    return is_ours or name in INHERITED_NAMES


def _blocked(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if is_blocked(name)}))
