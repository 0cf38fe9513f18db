"""Time zones by name, from this machine's database."""

from datetime import UTC, tzinfo
from functools import lru_cache

from buntime.core.apps.manifest import Manifest
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

_PROOF = "Europe/London"  # is in every database


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """`"Europe/Berlin"`, `"UTC"` -> that zone. Raises BadValue if this machine has no such zone."""
    if name == "UTC":
        return UTC  # without a database
    from zoneinfo import ZoneInfo  # only for apps with jobs in a zone

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        try:
            ZoneInfo(_PROOF)
        except (KeyError, ValueError, OSError):
            raise BadValue(
                f"timezone {shown(name)}: this machine has no database of time zones; install "
                "the package tzdata, of the system or of Python, or write UTC"
            ) from None
        raise BadValue(
            f"timezone {shown(name)} is not in this machine's database of time zones; write one "
            "like Europe/Berlin"
        ) from None


def check_zones(manifest: Manifest) -> None:
    """Raises BadValue if a job names a zone that this machine does not have."""
    for job in manifest.cron:
        try:
            zone(job.timezone)
        except BadValue as exc:
            raise BadValue(f"cron: {job.name}: {exc}") from None
