"""The routes of an app that need no key: `publicRoutes`, compiled.

Fails closed: a path that can be read in two ways is not public, see `paths`.
"""

import re
from collections.abc import Iterable, Sequence

from buntime.core.access.paths import plain_path

# Longer paths are only compared with patterns without stars and those that end in "/**".
_GLOB_PATH_MAX_CHARS = 2048
# Limit on an app's patterns with other stars together, so that a path is matched in milliseconds.
GLOBS_MAX_CHARS = 4096


class PublicRoutes:
    """The routes of an app that need no key, compiled once from the manifest's `publicRoutes`.

    A pattern covers the path below the app's base. `*` is one segment or part of one; `**` is any
    number of segments. "/assets/**" covers "/assets/" and everything below it, but not "/assets";
    "/a/**/b" covers "/a/b" too. Case and a trailing slash matter.
    """

    __slots__ = ("_by_method", "_routes")

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        """`routes` are (method or "ALL", pattern)."""
        self._routes = tuple(routes)
        patterns: dict[str, list[str]] = {}
        for method, pattern in self._routes:
            patterns.setdefault(method.upper(), []).append(pattern)
        self._by_method = {method: Patterns(some) for method, some in patterns.items()}

    def __repr__(self) -> str:
        return f"PublicRoutes({self._routes!r})"

    def cover(self, method: str, raw_path: str) -> bool:
        """Whether a request is public. `raw_path` is the target below the base, still encoded.

        HEAD is covered where GET is. A path with more than one reading is not, see `plain_path`.
        """
        if not self._by_method:
            return False
        path = plain_path(raw_path)
        if path is None:
            return False
        methods = ("ALL", method, "GET") if method == "HEAD" else ("ALL", method)
        patterns = (self._by_method.get(name) for name in methods)
        return any(some is not None and some.cover(path) for some in patterns)


class BothPublic:
    """Covers only what each of several objects covers, such as the routes of two manifests."""

    __slots__ = ("_routes",)

    def __init__(self, *routes: "PublicRoutes | BothPublic") -> None:
        self._routes = routes

    def __repr__(self) -> str:
        return f"BothPublic{self._routes!r}"

    def cover(self, method: str, raw_path: str) -> bool:
        """As `PublicRoutes.cover`."""
        return all(each.cover(method, raw_path) for each in self._routes)


def costly(patterns: Iterable[str]) -> list[str]:
    """The patterns that need a regular expression: `"/a/*"` and `"/**/b"`, not `"/a"` or `"/a/**"`.

    They cost time to compile and to match, so the code that reads patterns must limit them.
    """
    return [pattern for pattern in patterns if "*" in _literal(pattern)]


def _literal(pattern: str) -> str:
    """`"/a/**"` -> "/a/": the fixed start of a path, if no star is left in it."""
    whole = "/" + pattern.lstrip("/")
    return whole.removesuffix("**") if whole.endswith("/**") else whole


class Patterns:
    """A set of patterns, compared with decoded paths as `plain_path` returns them."""

    __slots__ = ("_globs", "_paths", "_prefixes")

    def __init__(self, patterns: Sequence[str]) -> None:
        special = dict.fromkeys(costly(patterns))
        plain = [pattern for pattern in patterns if pattern not in special]
        self._paths = frozenset(_literal(each) for each in plain if not each.endswith("**"))
        self._prefixes = tuple(_literal(each) for each in plain if each.endswith("**"))
        whole = "|".join(map(_translate, special))
        self._globs = re.compile(whole, re.DOTALL) if special else None

    def cover(self, path: str) -> bool:
        """Whether a path is certainly covered. Use this to open something."""
        return self._cover(path, if_too_long=False)

    def may_cover(self, path: str) -> bool:
        """Whether a path is covered, or is too long to tell. Use this to close something."""
        return self._cover(path, if_too_long=True)

    def could_cover(self, raw_path: str) -> bool:
        """Whether an app could read a path as one that is covered. Use this to close something.

        `raw_path` is the path as received, still encoded. A trailing slash makes no difference; a
        path with more than one reading, or with parameters ("/admin;x"), could mean anything.
        """
        path = plain_path(raw_path)
        if path is None or ";" in path:
            return True
        other = path.rstrip("/") if path.endswith("/") else path + "/"
        return self.may_cover(path) or self.may_cover(other)

    def _cover(self, path: str, *, if_too_long: bool) -> bool:
        if path in self._paths or path.startswith(self._prefixes):
            return True
        if self._globs is None:
            return False
        if len(path) > _GLOB_PATH_MAX_CHARS:
            return if_too_long
        return self._globs.fullmatch(path) is not None


def _translate(pattern: str) -> str:
    """`"/a/*/**"` -> a regular expression that no path can make slow.

    The text between two stars is matched only at the first place where it fits (atomic groups).
    That is enough for globs: whatever matches after a later place also matches after the first one,
    since the next star absorbs the characters between.
    """
    runs: list[str] = [""]
    for segment in pattern.lstrip("/").split("/"):
        if segment == "**":
            runs.append("")
        else:
            runs[-1] += "/" + _translate_segment(segment)
    first, *others = runs
    if not others:
        return first
    *middle, last = others
    between = "".join(rf"(?>(?:/[^/]*+)*?{run}(?=/|\Z))" for run in middle if run)
    return first + between + (f"(?:/[^/]*+)*{last}" if last else "(?:/[^/]*+)+")


def _translate_segment(segment: str) -> str:
    first, *others = [re.escape(part) for part in re.split(r"\*+", segment)]
    if not others:
        return first
    *middle, last = others
    if not (first or middle or last):
        return "[^/]++"  # a star alone needs at least one character
    return first + "".join(f"(?>[^/]*?{part})" for part in middle) + f"[^/]*{last}"
