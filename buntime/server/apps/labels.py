"""What the name of an app's folder says: the app and version, or that it is not an app."""

from collections.abc import Set
from pathlib import Path

from buntime.core.apps.router import is_app_name
from buntime.core.apps.versions import is_version
from buntime.core.telemetry.records import Tell
from buntime.server.apps.appfolder import printable


def split_label(label: str) -> tuple[str, str | None]:
    """`"@acme/shop@1.2.0"` -> ("@acme/shop", "1.2.0"), "shop" -> ("shop", None)."""
    at = label.find("@", 1)
    return (label, None) if at < 0 else (label[:at], label[at + 1 :])


def can_route(
    name: str, version: str | None, path: Path, *, reserved: Set[str], warn: Tell
) -> bool:
    """Whether requests can reach a folder; if not, `warn` gets the reason.

    `reserved` are first path segments that never reach an app.
    """
    if not is_app_name(name):
        warn(
            "folder.unroutable",
            "folder skipped: no request can name it; rename it with letters, digits and ._~-",
            folder=printable(path),
        )
        return False
    if name.partition("/")[0] in reserved:
        warn(
            "folder.reserved",
            "folder skipped: the runtime reserves its name; rename it",
            folder=printable(path),
        )
        return False
    if version is not None and not is_version(version):
        warn(
            "folder.bad_version",
            'folder skipped: its version must be like 1.2.0, 1.2.0-rc.1 or "latest"; rename it',
            folder=printable(path),
        )
        return False
    return True
