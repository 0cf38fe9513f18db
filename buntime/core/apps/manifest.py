"""Reads an app's manifest, `buntime.yaml`, into values, and checks the rules between them.

A value of the wrong kind, an unknown key or a contradiction is an error: no mistake may go unseen.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace
from functools import lru_cache
from typing import Any, Literal

from buntime.core.apps.credentials import withheld
from buntime.core.apps.document import DocumentError, Entry, read_document
from buntime.core.apps.fileheaders import FileHeaders
from buntime.core.apps.floor import Floor
from buntime.core.apps.hosts import parse_hosts
from buntime.core.apps.key import Key
from buntime.core.apps.manifestkeys import KEYS
from buntime.core.apps.manifestvalues import Routes, Workers
from buntime.core.apps.mounts import Mounts
from buntime.core.errors import ManifestError
from buntime.core.sandbox.plan import Level
from buntime.core.schedule.jobs import AppProcess, CronJob
from buntime.core.values.frozen import frozen
from buntime.core.values.units import BadValue, format_duration, format_size
from buntime.core.values.wording import unknown_key

__all__ = [
    "KEYS",
    "MANIFEST_NAMES",
    "SIZE_MAX_BYTES",
    "Key",
    "Manifest",
    "default_manifest",
    "hosts_in",
    "manifest_from",
    "parse_manifest",
    "read_entries",
    "read_values",
    "to_config",
]

MANIFEST_NAMES = ("buntime.yaml", "buntime.yml", "manifest.yaml", "manifest.yml")
SIZE_MAX_BYTES = 64 * 1024  # manifests have a few hundred; keeps a wrong file from taking seconds

Visibility = Literal["public", "protected", "internal", "operators"]
Auth = Literal["required", "optional", "none"]


@frozen(kw_only=True)
class Manifest:
    """How to run an app. None means "depends on the entrypoint's kind", or "no limit"."""

    entrypoint: str | None
    timeout_s: float
    ttl_s: float
    idle_timeout_s: float
    max_requests: int
    max_body_size_bytes: int
    low_memory: bool
    auto_install: bool
    public_routes: Routes  # (method or "ALL", pattern)
    visibility: Visibility
    auth: Auth
    env: Mapping[str, str] = field(hash=False)  # read-only
    secrets: Mapping[str, bool] = field(hash=False)  # whether each is in the environment too
    workers: Workers
    concurrency: int | None
    prewarm: int
    keep: bool
    max_memory_bytes: int | None
    max_address_space_bytes: int | None
    max_file_size_bytes: int | None
    max_processes: int | None
    group_memory_bytes: int | None
    group_processors: float | None
    group_pids: int | None
    python: str | None
    path: tuple[str, ...]
    nice: int
    user: str | None
    sandbox: Level
    write: tuple[str, ...]
    data: bool
    data_max_bytes: int | None
    inject_base: bool | None
    strip_base: bool
    cookie_path: str
    affinity: str
    affinity_max_s: float
    hosts: tuple[str, ...]  # in IDNA form, some with "*." in front
    uses: tuple[str, ...]  # names of services
    watch: tuple[str, ...]  # patterns of files
    spa: bool | None
    file_headers: FileHeaders
    mounts: Mounts
    in_shell: bool
    cron: tuple[CronJob, ...]
    processes: tuple[AppProcess, ...]
    release: tuple[str, ...]
    check: str | None
    replace: Literal["beside", "after"]
    keep_versions: int

    # Not in the file: what operators have changed, see floors.py.
    is_user_fixed: bool = False
    floors: tuple[Floor, ...] = field(default=(), hash=False, compare=False, repr=False)


def parse_manifest(
    text: bytes, *, path: str, body_default: int, body_max: int
) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest in `text`, and warnings about values that are used differently from what it
    says.

    `path` is for messages. `body_default` and `body_max` are the runtime's, in bytes. Raises
    ManifestError that names the file, line and key, the value, and what is allowed.
    """
    entries = read_entries(text, KEYS, path)
    return manifest_from(
        read_values(KEYS, entries, path),
        path=path,
        default=default_manifest(body_default),
        body_max=body_max,
    )


def read_entries(text: bytes, keys: Collection[Key], path: str) -> dict[str, "Entry"]:
    """The value of each key in a manifest; only keys in `keys` are allowed.

    Raises ManifestError.
    """
    verbatim = [key.name for key in keys if key.is_verbatim]
    try:
        entries = read_document(text, size_max_bytes=SIZE_MAX_BYTES, verbatim=verbatim)
    except DocumentError as exc:
        raise ManifestError(f"{_place(path, exc.line)}: {exc}") from exc
    _refuse_unknown(entries, [key.name for key in keys], path)
    return entries


def hosts_in(text: bytes) -> tuple[str, ...]:
    """The hosts named by a manifest that may have errors elsewhere."""
    try:
        entries = read_document(text, size_max_bytes=SIZE_MAX_BYTES, verbatim=())
        return parse_hosts(entries["hosts"].value) if "hosts" in entries else ()
    except (BadValue, DocumentError):
        return ()


def read_values(keys: Iterable[Key], entries: Mapping[str, "Entry"], path: str) -> dict[str, Any]:
    """The values in `entries` for those `keys` that are present, by field.

    Raises ManifestError.
    """
    parsed = ((key, _parsed(key, entries[key.name], path)) for key in keys if key.name in entries)
    return {key.field: value for key, value in parsed if value is not None}


def manifest_from(
    given: Mapping[str, Any], *, path: str, default: Manifest, body_max: int
) -> tuple[Manifest, tuple[str, ...]]:
    """`default` with the given values, checked against each other, and warnings.

    Raises ManifestError.
    """
    manifest = replace(default, **given)
    if twice := sorted(manifest.env.keys() & manifest.secrets.keys()):
        raise ManifestError(f"{path}: {', '.join(twice)} is in env and in secrets; keep one")
    _check_lifetime(manifest, given, path)
    if manifest.keep:
        manifest = replace(manifest, prewarm=max(1, manifest.prewarm))
    return _bounded(manifest, given, path, body_max)


@lru_cache(maxsize=2)  # each manifest that is read begins with it
def default_manifest(body_default: int) -> Manifest:
    """The manifest of an app without one. `body_default` is the runtime's, in bytes."""
    values: dict[str, Any]
    values = {key.field: None if key.default is None else key.parse(key.default) for key in KEYS}
    values["max_body_size_bytes"] = body_default
    return Manifest(**values)


def to_config(manifest: Manifest) -> dict[str, object]:
    """The manifest in JSON's types, by its own keys: seconds, bytes, no blocked variables."""
    return {key.name: _dumped(key, getattr(manifest, key.field)) for key in KEYS}


def _place(path: str, line: int) -> str:
    return f"{path}:{line}" if line else path


def _refuse_unknown(entries: Mapping[str, "Entry"], known: list[str], path: str) -> None:
    for name, entry in entries.items():
        if name not in known:
            raise ManifestError(f"{_place(path, entry.line)}: {unknown_key(name, known)}")


def _parsed(key: Key, entry: "Entry", path: str) -> object:
    """The value of a key; None where it has no value and None is its default."""
    if entry.value is None and not key.default:
        return None
    try:
        return key.parse(entry.value)
    except BadValue as exc:
        raise ManifestError(f"{_place(path, entry.line)}: {key.name}: {exc}") from exc


def _dumped(key: Key, value: object) -> object:
    return None if value is None else key.dump(value)


def _check_lifetime(manifest: Manifest, given: Mapping[str, object], path: str) -> None:
    """A worker that is reused must be allowed to live as long as one request may take."""
    if manifest.ttl_s == 0:
        if manifest.keep:
            raise ManifestError(
                f"{path}: keep: with ttl 0 each request has a worker of its own; "
                "write a ttl, or ttl: none"
            )
        if manifest.affinity != "none":
            raise ManifestError(
                f"{path}: affinity: with ttl 0 no worker gets a second request; "
                "write a ttl, or ttl: none"
            )
        return
    timeout = _written("timeout", "timeout_s", manifest, given)
    for name, field_name in (("ttl", "ttl_s"), ("idleTimeout", "idle_timeout_s")):
        if getattr(manifest, field_name) < manifest.timeout_s:
            ours = _written(name, field_name, manifest, given)
            raise ManifestError(
                f"{path}: {ours} is shorter than {timeout}; raise {name} or lower timeout"
            )


def _written(name: str, field_name: str, manifest: Manifest, given: Mapping[str, object]) -> str:
    origin = "" if field_name in given else " (the default)"
    return f"{name} {format_duration(getattr(manifest, field_name))}{origin}"


def _bounded(
    manifest: Manifest, given: Mapping[str, object], path: str, body_max: int
) -> tuple[Manifest, tuple[str, ...]]:
    """Lower values that exceed their limit, with a warning where the manifest set them."""
    warnings = []
    if kept := withheld(manifest.env):
        warnings.append(
            f"{path}: env: {', '.join(kept)}: this looks like credentials, and is not passed to "
            "the app; name it in `secrets`, and set its value with `buntime secrets set`"
        )
    if manifest.max_body_size_bytes > body_max:
        wanted, most = format_size(manifest.max_body_size_bytes), format_size(body_max)
        warnings.append(
            f"{path}: maxBodySize {wanted} is above RUNTIME_BODY_SIZE_MAX; {most} is used"
        )
        manifest = replace(manifest, max_body_size_bytes=body_max)
    if 0 < manifest.ttl_s < manifest.idle_timeout_s:
        if "idle_timeout_s" in given and manifest.idle_timeout_s != math.inf:
            wanted, most = format_duration(manifest.idle_timeout_s), format_duration(manifest.ttl_s)
            warnings.append(f"{path}: idleTimeout {wanted} is longer than ttl; {most} is used")
        manifest = replace(manifest, idle_timeout_s=manifest.ttl_s)
    return manifest, tuple(warnings)
