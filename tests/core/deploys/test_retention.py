"""Which versions are kept."""

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.deploys.retention import PINNED_S, Kept, surplus, target_of_rollback

NOW = 1_000_000.0


def kept(version: str, days: int, **more: float | bool) -> Kept:
    """A version that was deployed and made active so many days ago."""
    at = NOW - days * 86_400.0
    return Kept(version, at, active_s=at, **more)  # type: ignore[arg-type]  # fields by name


def test_the_oldest_go() -> None:
    """The versions that were in use longest ago are removed, whatever their number."""
    versions = [kept("1.0.0", 1), kept("1.1.0", 2), kept("0.9.0", 3), kept("0.8.0", 0)]
    assert surplus(versions, active="0.8.0", keep=2, now=NOW) == ("0.9.0", "1.1.0")


def test_those_in_use_stay() -> None:
    """The active version, one that was requested today and one with workers are all kept."""
    versions = [
        kept("1.0.0", 9),
        kept("1.1.0", 8, asked_s=NOW - PINNED_S + 1),
        kept("1.2.0", 7, has_workers=True),
        kept("1.3.0", 6, asked_s=NOW - PINNED_S),
        kept("1.4.0", 5),
    ]
    assert surplus(versions, active="1.0.0", keep=1, now=NOW) == ("1.3.0", "1.4.0")


def test_previews_go_at_their_time() -> None:
    """A preview does not count until it expires; then it is removed."""
    versions = [
        kept("1.0.0", 3),
        Kept("0.0.0-preview.a", NOW, expires_s=NOW),
        Kept("0.0.0-preview.b", NOW, expires_s=NOW + 1),
    ]
    assert surplus(versions, active="1.0.0", keep=1, now=NOW) == ("0.0.0-preview.a",)


@given(
    st.lists(st.builds(Kept, st.sampled_from("abcdef"), st.floats(0, NOW), st.floats(0, NOW)),
             unique_by=lambda each: each.version),
    st.integers(0, 7),
    st.sampled_from("abcdef"),
)  # fmt: skip
def test_how_many_stay(versions: list[Kept], keep: int, active: str) -> None:
    """At least one version and at least `keep` versions are kept, and always the active one."""
    gone = surplus(versions, active=active, keep=keep, now=NOW)
    assert active not in gone
    assert len(versions) - len(gone) >= min(len(versions), max(1, keep))


def test_rollback() -> None:
    """A rollback goes to what was active before, not to the next number or a rolled back one."""
    versions = [
        kept("1.0.0", 5),
        kept("1.1.0", 2),
        kept("2.0.0", 1),
        kept("1.2.0", 0),
        Kept("3.0.0", NOW),
    ]
    assert target_of_rollback(versions, active="1.2.0", withheld=set()) == "2.0.0"
    assert target_of_rollback(versions, active="1.2.0", withheld={"2.0.0"}) == "1.1.0"
    assert target_of_rollback(versions[:1], active="1.0.0", withheld=set()) is None
