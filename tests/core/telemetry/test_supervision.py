"""What a service manager puts into the environment is read, and removed from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.telemetry.supervision import VARIABLES, Supervision, message, take_supervision


def take(**environ: str) -> Supervision:
    return take_supervision(environ, pid=100, parent=99)


def test_all_of_it() -> None:
    """Each part is read and removed from the environment, and all else stays."""
    environ = {
        "NOTIFY_SOCKET": "@/org/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": "100",
        "LISTEN_PID": "100",
        "LISTEN_FDS": "2",
        "LISTEN_FDNAMES": "http:admin",
        "LISTEN_PIDFDID": "7",
        "JOURNAL_STREAM": "9:1234",
        "PATH": "/bin",
    }
    found = take_supervision(environ, pid=100, parent=99)
    assert found == Supervision("@/org/notify", 30.0, ("http", "admin"), (9, 1234))
    assert environ == {"PATH": "/bin"}


def test_nothing() -> None:
    """Without a service manager there is nothing to read."""
    assert take() == Supervision()


def test_another_process() -> None:
    """Descriptors are only for the process that is named; the watchdog may be for its parent."""
    assert take(LISTEN_PID="99", LISTEN_FDS="1").sockets == ()
    assert take(LISTEN_FDS="1").sockets == ()
    assert take(WATCHDOG_USEC="1000000", WATCHDOG_PID="99").watchdog_s == 1.0
    assert take(WATCHDOG_USEC="1000000", WATCHDOG_PID="98").watchdog_s is None
    assert take(WATCHDOG_USEC="1000000").watchdog_s == 1.0


@pytest.mark.parametrize(
    ("names", "expected"),
    [(None, ("unknown", "unknown")), ("a", ("a", "unknown")), ("a:b:c", ("a", "b")),
     (":b", ("unknown", "b"))],
)  # fmt: skip
def test_names(names: str | None, expected: tuple[str, ...]) -> None:
    """A descriptor without a name gets the name that libsystemd uses."""
    environ = {"LISTEN_PID": "100", "LISTEN_FDS": "2"}
    environ |= {} if names is None else {"LISTEN_FDNAMES": names}
    assert take(**environ).sockets == expected


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=20)))
def test_garbage(environ: dict[str, str]) -> None:
    """No value raises: a service manager's mistake must not stop the runtime."""
    found = take_supervision(environ, pid=100, parent=99)
    assert environ == {}
    assert len(found.sockets) <= 1000


def test_message() -> None:
    """A value cannot add an assignment of its own."""
    assert message([("READY", 1), ("STATUS", "é\nERRNO=1")]) == "READY=1\nSTATUS=é ERRNO=1".encode()
