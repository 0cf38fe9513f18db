"""What an archive may contain: checks its members one by one, and says what to write for each.

The sender of an archive may be hostile, so nothing in it is trusted. Each member is admitted, or
the archive is refused, before anything of the member is written:

- A path is relative, without "..", control characters and backslashes, and at most PATH_MAX bytes
  long. It is not a duplicate, neither in this spelling nor in one that some file system treats as
  the same (upper case, composed letters). Above it there are only folders, no links.
- Only folders, files, links and hard links; nothing with setuid, setgid or a device number.
- A link stays inside. ".." may only be at its beginning and climb no higher than the top: a path
  that goes down and up again would mean another place if there is a link on its way. Links are made
  last, so nothing is written through one.
- Limits on the number of files, folders and links; and on bytes, in total and per byte of the
  archive.

A single folder at the top, which forges put into their archives, is removed ("stripped"). Only the
end of the archive shows whether there is one, so links are checked then.
"""

import unicodedata
from collections.abc import Mapping

from buntime.core.errors import ClientFault
from buntime.core.values.enums import Enum
from buntime.core.values.frozen import frozen
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

FILES_MAX = 20_000
RATIO_MAX = 100  # bytes per byte of the archive
RATIO_FREE_BYTES = 10_000_000  # always allowed, however small the archive is: a log compresses well
PATH_MAX = 1024  # bytes; longer than in any package
NAME_MAX = 255  # bytes per name: the limit of file systems
DEPTH_MAX = 64  # nested folders; removing them takes a descriptor for each
TARGET_MAX = 1024  # bytes, for a link
_SHOWN_CHARS = 100

_SET_ID = 0o6000
_EXECUTABLE = 0o100
# What macOS tools add to archives, and what is part of no app.
_LITTER = frozenset(("__MACOSX",))
_DRIVE = regex(r"[A-Za-z]:")
# Line and paragraph separators, and direction marks: a name must not look like another.
_MISLEADING = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Kind(Enum):
    """What a member is."""

    FILE = "a file"
    FOLDER = "a folder"
    LINK = "a link"
    HARD_LINK = "a hard link"
    DEVICE = "a device"
    FIFO = "a named pipe"
    SPARSE = "a sparse file"
    OTHER = "of an unknown type"


class Member(NamedTuple):
    """A member as it is in the archive."""

    name: str
    kind: Kind
    size_bytes: int = 0  # as in its header
    mode: int = 0o644
    target: str = ""  # for a link; for a hard link the name of another member


class Entry(NamedTuple):
    """What to write, as the names in its path from the top; `()` is the top itself."""

    parts: tuple[str, ...]
    kind: Kind
    size_bytes: int
    is_executable: bool
    target: tuple[str, ...] = ()  # for a hard link

    @property
    def mode(self) -> int:
        """Permissions of the file: everybody may read, because the app may have its own user."""
        return 0o755 if self.is_executable else 0o644


class Link(NamedTuple):
    """A link to be made at the end, and its member."""

    parts: tuple[str, ...]
    target: str


@frozen()
class Bounds:
    """The limits for an archive."""

    unpacked_bytes: int
    files: int = FILES_MAX
    ratio: int = RATIO_MAX


class ArchiveFault(ClientFault):
    """The archive is refused: 422, with a code for each reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(422, code, message)


class Intake:
    """Admits the members of one archive."""

    def __init__(self, bounds: Bounds, archive_bytes: int) -> None:
        self._bounds = bounds
        self.ratio_bytes = max(RATIO_FREE_BYTES, bounds.ratio * archive_bytes)
        self.size_bytes = 0
        self._kinds: dict[tuple[str, ...], Kind] = {}
        self._spellings: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._links: list[Link] = []

    def __repr__(self) -> str:
        return f"Intake({len(self._kinds)} members, {self.size_bytes} bytes)"

    @property
    def names(self) -> Mapping[tuple[str, ...], Kind]:
        """Everything that was admitted, and the folders above, by path."""
        return self._kinds

    def admit(self, member: Member) -> Entry | None:
        """What to write for the member; None for nothing now. Raises ArchiveFault."""
        parts = path_of(member.name)
        _check_kind(member)
        if not parts or parts[0] in _LITTER:
            return None
        target = path_of(member.target) if member.kind is Kind.HARD_LINK else ()
        if target and self._kinds.get(target) is not Kind.FILE:
            raise ArchiveFault(
                "archive_link_out",
                f"{_shown(member.name)} is a hard link to {_shown(member.target)}, which is "
                "not an earlier file of the archive",
            )
        self._enter(parts, member)
        if member.kind is Kind.FILE:
            self.count(member.size_bytes, member.name)
        elif member.kind is Kind.LINK:
            _check_target(member)
            self._links.append(Link(parts, member.target))
            return None
        return Entry(parts, member.kind, member.size_bytes, bool(member.mode & _EXECUTABLE), target)

    def count(self, size_bytes: int, name: str) -> None:
        """Count bytes that came out of the archive. Raises ArchiveFault if there are too many."""
        self.size_bytes += size_bytes
        if self.size_bytes > self._bounds.unpacked_bytes:
            raise ArchiveFault(
                "archive_too_large",
                f"the archive unpacks to more than {self._bounds.unpacked_bytes} bytes (at "
                f"{_shown(name)}); leave out what the app does not need",
            )
        if self.size_bytes > self.ratio_bytes:
            raise ArchiveFault(
                "archive_ratio",
                f"the archive unpacks to more than {self._bounds.ratio} times its size (at "
                f"{_shown(name)}); leave that out, or create it on the host",
            )

    def top(self) -> str | None:
        """The single folder at the top, which is removed; None if there is none."""
        tops = {parts[0] for parts in self._kinds}
        if len(tops) != 1:
            return None
        (name,) = tops
        return name if self._kinds[name,] is Kind.FOLDER else None

    def links(self) -> tuple[Link, ...]:
        """The links to make, by their paths in the archive. Raises ArchiveFault."""
        left_out = 0 if self.top() is None else 1
        for link in self._links:
            climbs = [part for part in link.target.split("/") if part not in ("", ".")].count("..")
            if climbs > len(link.parts) - 1 - left_out:
                raise _leads_out("/".join(link.parts), link.target)
        return tuple(self._links)

    def files(self) -> tuple[str, ...]:
        """The paths of all files and links as they are in the app's folder: "static/site.css"."""
        left_out = 0 if self.top() is None else 1
        return tuple(
            "/".join(parts[left_out:])
            for parts, kind in self._kinds.items()
            if kind is not Kind.FOLDER
        )

    def _enter(self, parts: tuple[str, ...], member: Member) -> None:
        for depth in range(1, len(parts)):
            self._add(parts[:depth], Kind.FOLDER, member.name)
        self._add(parts, member.kind, member.name)

    def _add(self, parts: tuple[str, ...], kind: Kind, name: str) -> None:
        before = self._kinds.get(parts)
        if before is Kind.FOLDER and kind is Kind.FOLDER:
            return
        if before is not None:
            if before is not Kind.FOLDER and kind is Kind.FOLDER:
                raise ArchiveFault(
                    "archive_parent",
                    f"{_shown('/'.join(parts))} is {before.value} in the archive, and a folder "
                    f"too, for {_shown(name)}",
                )
            raise ArchiveFault("archive_duplicate", f"{_shown(name)} is in the archive twice")
        key = (*parts[:-1], _folded(parts[-1]))
        other = self._spellings.setdefault(key, parts)
        if other != parts:
            raise _clash(other, parts)
        if len(self._kinds) >= self._bounds.files:
            raise ArchiveFault(
                "archive_too_many_files",
                f"the archive has more than {self._bounds.files} files and folders; leave out what "
                "the app does not need, such as node_modules",
            )
        self._kinds[parts] = kind


def path_of(name: str) -> tuple[str, ...]:
    """`"./src/app.py"` -> ("src", "app.py"), "./" -> (). Raises ArchiveFault for an invalid
    path."""
    if not name.isprintable() or "\\" in name:
        _check_letters(name)
    if name.startswith("/") or _DRIVE.match(name):
        raise ArchiveFault(
            "archive_path_absolute",
            f"{_shown(name)} is an absolute path; write paths that start at the app's folder",
        )
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ArchiveFault(
            "archive_path_parent",
            f"{_shown(name)} leads out of the app's folder by ..; pack from inside that folder",
        )
    _check_length(name, parts)
    return parts


def _check_letters(name: str) -> None:
    for letter in name:
        if unicodedata.category(letter) in ("Cc", "Cs") or letter in _MISLEADING or letter == "\\":
            raise ArchiveFault(
                "archive_bad_name",
                f"{_shown(name)} has a character that no file of an app may have in its name: "
                "control characters, line breaks, backslashes, and bytes that are not UTF-8",
            )


def _check_length(name: str, parts: tuple[str, ...]) -> None:
    encoded = name.encode("utf-8", "surrogateescape")
    is_long = len(encoded) > PATH_MAX or len(parts) > DEPTH_MAX
    if is_long or any(len(part.encode()) > NAME_MAX for part in parts):
        raise ArchiveFault(
            "archive_bad_name",
            f"{_shown(name)}: the path is too long; at most {PATH_MAX} bytes, {NAME_MAX} for each "
            f"name, and {DEPTH_MAX} folders",
        )


def _check_kind(member: Member) -> None:
    if member.kind in (Kind.DEVICE, Kind.FIFO, Kind.SPARSE, Kind.OTHER):
        raise ArchiveFault(
            "archive_bad_member",
            f"{_shown(member.name)} is {member.kind.value}; an app may hold files, folders "
            "and links only",
        )
    if member.mode & _SET_ID:
        raise ArchiveFault(
            "archive_set_id",
            f"{_shown(member.name)} is set-uid or set-gid; remove that (chmod ug-s)",
        )
    if member.size_bytes < 0:
        raise ArchiveFault("archive_damaged", f"{_shown(member.name)} has a size below 0")


def _check_target(member: Member) -> None:
    target = member.target
    if not target or not target.isprintable() or "\\" in target:
        _check_letters(target)
    encoded = target.encode("utf-8", "surrogateescape")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    is_plain = ".." not in parts[climbs:] and not target.startswith("/") and target
    if not is_plain or len(encoded) > TARGET_MAX:
        raise _leads_out(member.name, target)


def _leads_out(name: str, target: str) -> ArchiveFault:
    return ArchiveFault(
        "archive_link_out",
        f"{_shown(name)} is a link to {_shown(target)}; a link must lead to a place inside the "
        "app's folder, by a relative path with .. only at its beginning",
    )


def _clash(one: tuple[str, ...], other: tuple[str, ...]) -> ArchiveFault:
    names = f"{_shown('/'.join(one))} and {_shown('/'.join(other))}"
    if unicodedata.normalize("NFC", one[-1]) == unicodedata.normalize("NFC", other[-1]):
        return ArchiveFault(
            "archive_unicode_clash",
            f"{names} are the same name in two forms of Unicode; keep one of them",
        )
    return ArchiveFault(
        "archive_case_clash",
        f"{names} differ only in upper and lower case, which not all file systems distinguish; "
        "rename one of them",
    )


def _folded(name: str) -> str:
    """The same result for all names that some file system treats as one."""
    return name if name.isascii() and name.islower() else _fold(name)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shown(name: str) -> str:
    """A name in a form that is safe in any log."""
    text = name if len(name) <= _SHOWN_CHARS else f"{name[: _SHOWN_CHARS - 1]}…"
    return text if text.isprintable() and text else ascii(text)
