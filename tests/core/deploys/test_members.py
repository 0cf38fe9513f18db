"""Members of archives: what is written, and what is refused."""

import posixpath
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.deploys.members import ArchiveFault, Bounds, Intake, Kind, Member, path_of

BOUNDS = Bounds(unpacked_bytes=20_000_000, files=10)
FILE, FOLDER, LINK, HARD_LINK = Kind.FILE, Kind.FOLDER, Kind.LINK, Kind.HARD_LINK


def admitted(*members: Member, archive_bytes: int = 100) -> Intake:
    """An intake that has admitted the members and checked their links."""
    intake = Intake(BOUNDS, archive_bytes)
    for member in members:
        intake.admit(member)
    intake.links()
    return intake


def file(name: str, size_bytes: int = 1, mode: int = 0o644) -> Member:
    return Member(name, FILE, size_bytes, mode)


def link(name: str, target: str) -> Member:
    return Member(name, LINK, target=target)


REFUSED = {
    "an absolute path": ([file("/etc/passwd")], "archive_path_absolute"),
    "a drive": ([file("C:/x")], "archive_path_absolute"),
    "a parent": ([file("../x")], "archive_path_parent"),
    "a parent further down": ([file("a/../../x")], "archive_path_parent"),
    "a folder above": ([Member("a/..", FOLDER)], "archive_path_parent"),
    "a newline": ([file("a\nb")], "archive_bad_name"),
    "a NUL": ([file("a\0b")], "archive_bad_name"),
    "an escape": ([file("\x1b[2J")], "archive_bad_name"),
    "a backslash": ([file("..\\x")], "archive_bad_name"),
    "bytes that are not UTF-8": ([file("a\udcff")], "archive_bad_name"),
    "text that turns": ([file("a\u202egpj.py")], "archive_bad_name"),
    "a long path": ([file("a/" * 600 + "b")], "archive_bad_name"),
    "a deep path": ([file("a/" * 64 + "b")], "archive_bad_name"),
    "a long name": ([file("a" * 256)], "archive_bad_name"),
    "a device": ([Member("null", Kind.DEVICE)], "archive_bad_member"),
    "a named pipe": ([Member("pipe", Kind.FIFO)], "archive_bad_member"),
    "a sparse file": ([Member("hole", Kind.SPARSE, 10)], "archive_bad_member"),
    "an unknown type": ([Member("what", Kind.OTHER)], "archive_bad_member"),
    "set-uid": ([file("su", mode=0o4755)], "archive_set_id"),
    "set-gid": ([Member("d", FOLDER, mode=0o2755)], "archive_set_id"),
    "the same name twice": ([file("a"), file("./a")], "archive_duplicate"),
    "a file and a folder": ([Member("a", FOLDER), file("a")], "archive_duplicate"),
    "a file as a folder": ([file("a"), file("a/b")], "archive_parent"),
    "a link as a folder": ([link("a", "b"), file("a/b")], "archive_parent"),
    "two cases": ([file("README"), file("readme")], "archive_case_clash"),
    "two cases of a folder": ([file("Src/a"), file("src/b")], "archive_case_clash"),
    "sharp s": ([file("straße"), file("STRASSE")], "archive_case_clash"),
    "two forms": ([file("caf\u00e9"), file("cafe\u0301")], "archive_unicode_clash"),
    "a link upward": ([file("x"), link("a", "../b")], "archive_link_out"),
    "a link upward below": ([file("x"), link("d/a", "../../b")], "archive_link_out"),
    "an absolute link": ([link("a", "/etc/passwd")], "archive_link_out"),
    "a link down and up": ([link("a", "d/../b")], "archive_link_out"),
    "an empty link": ([link("a", "")], "archive_link_out"),
    "a link out of the stripped top": ([file("app/x"), link("app/a", "../b")], "archive_link_out"),
    "a hard link to nothing": ([Member("a", HARD_LINK, target="b")], "archive_link_out"),
    "a hard link upward": ([Member("a", HARD_LINK, target="../b")], "archive_path_parent"),
    "a hard link to a link": (
        [link("b", "c"), Member("a", HARD_LINK, target="b")],
        "archive_link_out",
    ),
    "too large": ([file("a", 20_000_001)], "archive_too_large"),
    "too large together": ([file("a", 9_000_000), file("b", 2_000_000)], "archive_ratio"),
    "a size below zero": ([file("a", -1)], "archive_damaged"),
    "many files": ([file(str(each)) for each in range(11)], "archive_too_many_files"),
    "many folders": ([file("a/b/c/d/e/f/g/h/i/j/k")], "archive_too_many_files"),
}


@pytest.mark.parametrize(("members", "code"), REFUSED.values(), ids=REFUSED)
def test_refused(members: list[Member], code: str) -> None:
    """Each of these is refused with its own code, and the message shows no control characters."""
    with pytest.raises(ArchiveFault) as told:
        admitted(*members)
    assert (told.value.status, told.value.code) == (422, code)
    assert told.value.message.isprintable()


def test_what_is_written() -> None:
    """Folders and permissions are as in the archive; links come last."""
    intake = Intake(BOUNDS, 100)
    entry = intake.admit(file("./bin/run", 5, 0o755))
    assert entry is not None
    assert (entry.parts, entry.size_bytes, entry.mode) == (("bin", "run"), 5, 0o755)
    assert intake.admit(link("bin/same", "run")) is None
    assert intake.admit(Member("bin/", FOLDER)) is not None
    assert intake.admit(Member("./", FOLDER)) is None
    assert [(each.parts, each.target) for each in intake.links()] == [(("bin", "same"), "run")]


def test_a_single_folder_at_the_top() -> None:
    """A single top-level folder is left out of names; with files beside it, it is kept."""
    intake = admitted(file("app-1.0/app.py"), link("app-1.0/bin/x", "../app.py"))
    assert intake.top() == "app-1.0"
    assert intake.files() == ("app.py", "bin/x")
    assert admitted(file("app/app.py"), file("pyproject.toml")).top() is None
    assert admitted(file("app.py")).top() is None
    assert admitted().top() is None


def test_litter_of_macos() -> None:
    """Files that the macOS Finder adds do not count as a second top-level folder."""
    intake = admitted(file("app/app.py"), file("__MACOSX/app/._app.py"))
    assert intake.top() == "app"
    assert intake.files() == ("app.py",)


def test_large_archives_may_have_much() -> None:
    """Above the minimum for any archive, the limit is a ratio to the archive's size."""
    admitted(file("a", 19_000_000), archive_bytes=190_000)


NAMES = st.text(st.sampled_from("aAbé./\\\0\n\u0301e"), max_size=12)


@given(st.lists(st.builds(Member, NAMES, st.sampled_from([FILE, FOLDER, LINK]), target=NAMES)))
def test_whatever_comes_stays_inside(members: list[Member]) -> None:
    """Admitted paths stay inside, and no two are the same on a case-insensitive file system."""
    intake = Intake(Bounds(10_000), 100)
    try:
        for member in members:
            intake.admit(member)
        links = intake.links()
    except ArchiveFault:
        return
    for parts in intake.names:
        assert posixpath.normpath("/".join(parts)) == "/".join(parts)
        assert ".." not in parts
        assert not parts[0].startswith("/")
    folded = {unicodedata.normalize("NFC", "/".join(parts)).casefold() for parts in intake.names}
    assert len(folded) == len(intake.names)
    for each in links:
        place = posixpath.normpath(posixpath.join("/app", *each.parts[:-1], each.target))
        assert posixpath.commonpath(("/app", place)) == "/app"


@given(st.text(max_size=20))
def test_any_name(name: str) -> None:
    """Any text is a path inside the folder, or refused."""
    try:
        parts = path_of(name)
    except ArchiveFault:
        return
    assert not {"", ".", ".."}.intersection(parts)
    assert not any("/" in part or "\0" in part for part in parts)
