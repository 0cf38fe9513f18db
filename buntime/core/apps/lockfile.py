"""Which lock files an app's packages are installed from, and what a lock file must contain.

pip's format comes first: every tool can write it, and every Python can read it. For others see
`uvlocks`. A file that leaves a version open is no lock: the app would differ from machine to
machine, and from day to day.

    requirements.lock, else requirements.txt:
        flask==3.0.0 --hash=sha256:...   a version, or `name @ URL`, a URL or a path
        --find-links wheels              pip's options, but for -r, -c and -e
"""

import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator

from buntime.core.values.regex import regex
from buntime.core.values.wording import shown

LOCK_NAMES = ("requirements.lock", "requirements.txt")

# Other tools' lock files, and how to write these in pip's format.
_EXPORTS = {
    "poetry.lock": "poetry export -o requirements.lock",
    "pdm.lock": "pdm export --prod -o requirements.lock",
    "Pipfile.lock": "pipenv requirements --hash > requirements.lock",
}
FOREIGN_NAMES = tuple(_EXPORTS)

# As pip reads it: a "#" within a word is part of a URL. Each run of blanks is scanned only once.
_COMMENT = regex(r"(?:^|(?<!\s)\s++)#.*$")
_HASH = regex(r"\s--hash[=\s]")
_NAME = regex(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*")
_EXACT = regex(r"===?\s*[^\s,*]+")
_OTHER_FILES = ("-r", "--requirement", "-c", "--constraint")
_EDITABLE = ("-e", "--editable")


class BadLock(ValueError):
    """A lock file that cannot be installed from; the message says why, and what to do."""


def has_hashes(text: bytes) -> bool:
    """Whether the lock file `text` has hashes of packages. Raises BadLock where it is not a lock.

    Only checks for what could install other packages than those that were locked; pip checks the
    rest.
    """
    try:
        # Not the codec utf-8-sig: it would be imported by a thread that acts as the app's user, who
        # may not be able to read this Python.
        lines = list(_logical_lines(text.removeprefix(BOM_UTF8).decode()))
    except UnicodeDecodeError as exc:
        raise BadLock("is not UTF-8; generate it again") from exc
    for number, line in lines:
        reason = _objection(line)
        if reason:
            raise BadLock(f"line {number}: {shown(line)} {reason}")
    return any(_HASH.search(line) for _, line in lines)


def lacking_lock(names: Collection[str]) -> str:
    """The message where there is no lock file; `names` are the files in the app's folder."""
    for name, command in _EXPORTS.items():
        if name in names:
            return f"{name} cannot be installed from; write it in pip's format: {command}"
    return (
        f"there is no lock file; looked for {' and '.join(LOCK_NAMES)}, pylock.toml and uv.lock; "
        "make one, such as with `uv lock`, `pip-compile`, or `pip freeze > requirements.lock`"
    )


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""The lines with their numbers, joined where they end in `\`, without comments and blank
    lines."""
    pieces: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if pieces else number
        # A comment ends a continued line, even if the comment ends in a backslash.
        goes_on = line.endswith("\\") and not _COMMENT.match(line)
        pieces.append(_COMMENT.sub("", line.removesuffix("\\") if goes_on else line))
        if not goes_on:
            yield from _non_blank(first, pieces)
            pieces = []
    yield from _non_blank(first, pieces)


def _non_blank(number: int, pieces: list[str]) -> Iterator[tuple[int, str]]:
    line = "".join(pieces).strip()
    if line:
        yield number, line


def _objection(line: str) -> str:
    """Why a line may not appear in a lock file; "" where it may."""
    if line.startswith(_OTHER_FILES):
        return "refers to another file; a lock file holds everything itself"
    if line.startswith(_EDITABLE):
        return "is an editable install; leave it out, an app imports its own folder anyway"
    if line.startswith("-") or _is_exact(line):
        return ""
    return (
        "leaves the version open; a lock file pins each package, name==1.2.3; write it with: "
        "pip freeze > requirements.lock"
    )


def _is_exact(requirement: str) -> bool:
    """`"a[b]==1.0 ; python_version > '3'"`, `"a @ https://…"`, `"./a.whl"` -> True, `"a>=1"` not.

    What is not a name with a version is a path or a URL; otherwise pip will reject it.
    """
    name = _NAME.match(requirement)
    if name is None or requirement.split(maxsplit=1)[0].endswith(".whl"):
        return True
    rest = requirement[name.end() :]
    specifier = re.split(r";|(?<!\S)--", rest, maxsplit=1)[0].strip()
    if not specifier or specifier[0] in "=<>!~(":
        return any(_EXACT.fullmatch(part.strip()) for part in specifier.split(","))
    return True
