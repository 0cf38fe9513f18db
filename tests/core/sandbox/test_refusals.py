"""What an app prints when it was refused something gets advice, other lines none."""

import pytest

from buntime.core.sandbox.refusals import advice_on


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("PermissionError: [Errno 13] Permission denied: '/srv/shop/uploads/a'", "APP_DATA_DIR"),
        ("OSError: [Errno 30] Read-only file system: '/a'", "APP_DATA_DIR"),
        ("sqlite3.OperationalError: unable to open database file", "APP_DATA_DIR"),
        ("django.db.utils.OperationalError: attempt to write a readonly database", "`data: true`"),
        ("PermissionError: [Errno 13] Permission denied", "cannot listen on a port"),
        ("PermissionError: [Errno 1] Operation not permitted", ""),
        ("    raise PermissionError: [Errno 13] Permission denied: 'a'", ""),
        ("unable to open database file: trying again", ""),
        ("", ""),
    ],
)
def test_advice(line: str, words: str) -> None:
    """The last line of a trace is the exception, from its first column on."""
    told = advice_on(line)
    assert words in told if words else told == ""
