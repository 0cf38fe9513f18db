"""Picks the version of an app that a request means: npm ranges over the versions of its folders.

A folder's version is a strict semantic version ("1.2.0", "2.0.0-rc.1"), or `LATEST`, or
`UNVERSIONED` for a folder without a version. A request may write more after the "@":

    nothing, "latest"          the default, see `select`
    "1.2.0", "1.2.0-rc.1"      exactly that folder
    "1", "1.2", "1.x", "*"     the highest release that begins like this
    "^1.0.0", "~1.2", ">=1 <3", "1.0.0 - 2", "1 || 3"

Theory: a range is a choice ("||") of sets of comparators, and each short form expands to such a
set: "^1.2" to {>=1.2.0, <2.0.0-0}. A release is in a set if it meets all of its comparators, a
pre-release only if one of them also names a pre-release of the same major.minor.patch. That is what
node-semver does; the tests contain its tables. Of the packages for this, semantic_version differs:
it finds 2.0.0 in "2.0.0-beta" and 2.0.0-beta in "<=1", and nothing in "~2.0.0-beta". node-semver
0.9 differs little ("1.x.2" is no range), but takes ten times as long, and seconds for 10,000
characters.
"""

import operator
import re
from collections.abc import Callable, Iterable, Set
from functools import lru_cache

from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

LATEST = "latest"
UNVERSIONED = ""

_LENGTH_MAX = 100  # characters; clients write the range, and no useful one is longer

# https://semver.org, with numbers bounded as in npm (2**53). Each place allows one class of
# characters, so that matching is linear.
_NUMBER = r"(?:0|[1-9][0-9]{0,15})"
_PLACE = rf"({_NUMBER}|[xX*])"
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_TAIL = rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_VERSION = regex(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER}){_TAIL}")
_SIMPLE = regex(rf"(\^|~|>=|<=|>|<|=|)v?{_PLACE}(?:\.{_PLACE}(?:\.{_PLACE}{_TAIL})?)?")
_SPACE_AFTER_OPERATOR = regex(r"(\^|~|>=|<=|>|<|=)\s+")


class _Version(NamedTuple):
    """Ordered by precedence (semver 11). Build metadata has none and is left out."""

    major: int
    minor: int
    patch: int
    is_release: bool
    # Numeric identifiers as (0, number, ""), others as (1, 0, text).
    prerelease: tuple[tuple[int, int, str], ...]

    @property
    def numbers(self) -> tuple[int, int, int]:
        return self.major, self.minor, self.patch


class _Partial(NamedTuple):
    """A version in a range: `given` of its three places are numbers, the others match anything."""

    given: int
    low: _Version


_Comparator = tuple[str, _Version]
_Set = tuple[_Comparator, ...]

_HOLDS: dict[str, Callable[[_Version, _Version], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
}


def is_version(text: str) -> bool:
    """Whether a folder may have `text` as its version: "1.2.0" and "latest" yes, "1.2" no."""
    return text == LATEST or _parse_version(text) is not None


def is_range(text: str) -> bool:
    """Whether `text` is a range: "^1.2 || 3" and "*" yes, "latest" and "abc" no."""
    return _parse_range(text) is not None


def select(versions: Iterable[str], spec: str | None) -> str | None:
    """The one of `versions` that `spec` means, or None where there is none or `spec` is no range.

    Without a spec, and for "latest", it is the first of these that exists: the folder `LATEST`, the
    `UNVERSIONED` one, the highest release, the highest pre-release. So the author can deploy the
    unversioned folder over and over, and requests can still pin the versioned ones beside it.
    """
    offered = frozenset(versions)
    if spec is None or spec == LATEST:
        return _default(offered)
    if spec in offered and spec != UNVERSIONED:
        return spec
    sets = _parse_range(spec)
    return None if sets is None else _highest(v for v in offered if _contains(sets, v))


def choose(
    versions: Iterable[str],
    spec: str | None,
    *,
    active: str | None = None,
    withheld: Set[str] = frozenset(),
) -> str | None:
    """As `select`, where one version may be `active` and others may be `withheld` from ranges.

    The active version is the target of a link `latest`: the default. A withheld version, one that
    was never active or was rolled back from, is found only by its full number. The active one is
    never withheld.
    """
    offered = frozenset(versions)
    if active in offered and (spec is None or spec == LATEST):
        return active
    is_pin = spec in offered and spec != UNVERSIONED
    return spec if is_pin else select(offered - (withheld - {active}), spec)


def sort_key(version: str) -> tuple[tuple[_Version, ...], str]:
    """Orders versions by precedence; those without a number come first, ordered by their text."""
    parsed = _parse_version(version)
    return ((parsed,) if parsed else ()), version


def _default(offered: frozenset[str]) -> str | None:
    for version in (LATEST, UNVERSIONED):
        if version in offered:
            return version
    releases = [v for v in offered if (parsed := _parse_version(v)) and parsed.is_release]
    return _highest(releases or offered)


def _highest(versions: Iterable[str]) -> str | None:
    return max(versions, key=sort_key, default=None)


def _contains(sets: tuple[_Set, ...], version: str) -> bool:
    parsed = _parse_version(version)
    return parsed is not None and any(_meets(parsed, comparators) for comparators in sets)


def _meets(version: _Version, comparators: _Set) -> bool:
    if not all(_HOLDS[name](version, bound) for name, bound in comparators):
        return False
    return version.is_release or any(
        not bound.is_release and bound.numbers == version.numbers for _, bound in comparators
    )


@lru_cache(maxsize=4096)
def _parse_version(text: str) -> _Version | None:
    match = _VERSION.fullmatch(text) if len(text) <= _LENGTH_MAX else None
    return match and _version(map(int, match.group(1, 2, 3)), match[4])


def _version(numbers: Iterable[int], prerelease: str | None = None) -> _Version:
    major, minor, patch = numbers
    identifiers = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in (prerelease.split(".") if prerelease else ())
    )
    return _Version(major, minor, patch, not identifiers, identifiers)


@lru_cache(maxsize=256)
def _parse_range(spec: str) -> tuple[_Set, ...] | None:
    """`"^1.2 || 3"` -> its sets of comparators; None for what is no range."""
    if len(spec) > _LENGTH_MAX or not spec.isascii():
        return None
    sets: list[_Set] = []
    for part in spec.split("||"):
        comparators = _parse_set(part)
        if comparators is None:
            return None
        sets.append(comparators)
    return tuple(sets)


def _parse_set(text: str) -> _Set | None:
    low, hyphen, high = text.strip().partition(" - ")
    if hyphen:
        words = [f">={low.strip()}", f"<={high.strip()}"]
    else:
        words = _SPACE_AFTER_OPERATOR.sub(r"\1", low.replace("~>", "~")).split()
    comparators: list[_Comparator] = []
    for word in words:
        match = _SIMPLE.fullmatch(word)
        partial = match and _partial(match)
        if match is None or partial is None:
            return None
        comparators += _comparators(match[1], partial)
    return tuple(comparators)


def _partial(match: re.Match[str]) -> _Partial | None:
    """The version in a word of a range; None where a number follows an x, as in "1.x.2"."""
    numbers = [int(place) for place in match.group(2, 3, 4) if place and place.isdigit()]
    given = len(numbers)
    if any(place and place.isdigit() for place in match.group(2, 3, 4)[given:]):
        return None
    numbers += [0] * (3 - given)
    return _Partial(given, _version(numbers, match[5] if given == 3 else None))


def _comparators(name: str, partial: _Partial) -> _Set:
    """What `name` before `partial` expands to: ("^", 1.2) -> {>=1.2.0, <2.0.0-0}."""
    given, low = partial
    if given == 0:
        return (("<", _version((0, 0, 0), "0")),) if name in ("<", ">") else ()
    if name == "~":
        return ((">=", low), ("<", _next(low, min(given, 2))))
    if name == "^":
        significant = 1 if low.major else 2 if low.minor else 3
        return ((">=", low), ("<", _next(low, min(given, significant))))
    if given == 3:
        return ((name or "=", low),)
    following = _next(low, given)
    return {
        "<": (("<", _version((low.major, low.minor, 0), "0")),),
        "<=": (("<", following),),
        ">": ((">=", _version(following.numbers)),),
        ">=": ((">=", low),),
    }.get(name, ((">=", low), ("<", following)))


def _next(version: _Version, places: int) -> _Version:
    """The lowest version that differs from `version` in its first `places`: (1.2.3, 2) ->
    1.3.0-0."""
    numbers = [*version.numbers[:places], 0, 0][:3]
    numbers[places - 1] += 1
    return _version(numbers, "0")
