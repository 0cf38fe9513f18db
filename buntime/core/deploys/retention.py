"""Which releases of an app are kept, and which of its versions ranges may choose."""

from collections.abc import Iterable, Set

from buntime.core.apps.versions import sort_key
from buntime.core.values.frozen import frozen

PINNED_S = 86_400.0  # a version that a request named within this time stays


@frozen()
class Kept:
    """A version made by a deploy. Times are in seconds since 1970."""

    version: str
    deployed_s: float
    active_s: float = 0.0  # when it was last made active; 0 for never
    asked_s: float = 0.0  # when a request last named it
    has_workers: bool = False
    expires_s: float = 0.0  # for a preview


def surplus(kept: Iterable[Kept], *, active: str | None, keep: int, now: float) -> tuple[str, ...]:
    """The versions to remove, the one that was in use longest ago first.

    Of those that do not expire, at most `keep` stay, including the active one. Versions that cannot
    be removed, because they are active, were requested by version within a day or have workers,
    stay in addition. Previews are removed at their time, and do not count otherwise.
    """
    versions = list(kept)
    expired = [each.version for each in versions if 0.0 < each.expires_s <= now]
    lasting = sorted(
        (each for each in versions if not each.expires_s),
        key=lambda each: (each.version == active, _used_s(each), sort_key(each.version)),
    )
    too_many = lasting[: max(0, len(lasting) - max(1, keep))]
    return (*expired, *(each.version for each in too_many if _may_go(each, active, now)))


def target_of_rollback(
    kept: Iterable[Kept], *, active: str | None, withheld: Set[str]
) -> str | None:
    """The version that was active before the active one; None if there was none.

    A version in `withheld`, which was rolled back from, does not count.
    """
    before = [
        each
        for each in kept
        if each.active_s and each.version != active and each.version not in withheld
    ]
    last = max(before, key=lambda each: (each.active_s, sort_key(each.version)), default=None)
    return None if last is None else last.version


def _used_s(kept: Kept) -> float:
    return max(kept.deployed_s, kept.active_s)


def _may_go(kept: Kept, active: str | None, now: float) -> bool:
    was_requested = now - kept.asked_s < PINNED_S
    return kept.version != active and not kept.has_workers and not was_requested
