"""Whatever an app is called, its log is a file in the folder, and no other app's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.telemetry.applines import RUNTIME
from buntime.core.telemetry.lognames import file_of, parse_file


@pytest.mark.parametrize(
    ("app", "file"),
    [
        ("shop", "shop.log"),
        ("@acme/shop", "@acme+shop.log"),
        ("plugin:audit", "plugin%3Aaudit.log"),
        (RUNTIME, "+runtime.log"),
        ("/runtime", "%2Fruntime.log"),
        ("+runtime", "%2Bruntime.log"),
        ("..", "%2E..log"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.log"),
        ("@../x", "@..+x.log"),
        ("a\nb\x00c\x1b", "a%0Ab%00c%1B.log"),
        ("caf\u00e9", "caf%C3%A9.log"),
        ("shop.log.1", "shop.log.1.log"),
    ],
)
def test_file_of(app: str, file: str) -> None:
    """Plain names stay readable."""
    assert file_of(app) == file
    assert parse_file(file) == (app, 0)
    assert parse_file(f"{file}.3") == (app, 3)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.text(
    alphabet="@/+%.a", max_size=400
)


@settings(deadline=None)
@given(NAMES, NAMES)
def test_any_name(one: str, other: str) -> None:
    """No two apps share a file, and none leaves the folder."""
    file = file_of(one)
    assert "/" not in file
    assert "\0" not in file
    assert not file.startswith(".")
    assert len(file.encode()) + 3 <= 255
    assert (file == file_of(other)) == (one == other)
    parsed = parse_file(file)
    assert parsed is not None
    assert parsed[0] in (one, None)


def test_long_name() -> None:
    """The file name for a very long key ends in a hash, and is not mapped back to the key."""
    apps = ["@" + "a" * 250 + "/" + letter * 250 for letter in "bc"]
    files = [file_of(app) for app in apps]
    assert len(set(files)) == 2
    assert [parse_file(file) for file in files] == [(None, 0)] * 2


@pytest.mark.parametrize(
    "file", ["shop", "shop.log.0", "shop.log.gz", "a b.log", "%zz.log", ".log"]
)
def test_other_files(file: str) -> None:
    """A file with a name that the runtime would not choose is not a log."""
    assert parse_file(file) is None
