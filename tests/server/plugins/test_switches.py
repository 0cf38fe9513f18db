"""What operators have switched on or off, in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from buntime.core.errors import ServerFault
from buntime.server.plugins.switches import NAME, Switches
from buntime.server.state.statefolder import StateFolder


def switches(folder: Path, warned: list[str] | None = None) -> Switches:
    def warn(event: str, message: str, /, **fields: object) -> None:
        (warned if warned is not None else []).append(event)

    return Switches(StateFolder(str(folder)), warn)


def test_they_are_kept(tmp_path: Path) -> None:
    """The next run knows each switch, who did it and when; nobody else can read it."""
    folder = tmp_path / "state"
    switches(folder).set("@acme/audit", enabled=False, by="203.0.113.7")
    told = switches(folder).of("@acme/audit")
    assert told is not None
    assert (told.enabled, told.by) == (False, "203.0.113.7")
    assert told.at.endswith("Z")
    assert switches(folder).of("other") is None
    assert (folder / NAME).stat().st_mode & 0o077 == 0
    assert [path.name for path in folder.iterdir()] == [NAME]


def test_one_is_taken_back(tmp_path: Path) -> None:
    """A switch that is taken back is gone for the next run too, and the others stay; if there is
    none, nothing is written."""
    some = switches(tmp_path)
    assert not some.reset("audit")
    assert not (tmp_path / NAME).exists()
    for name in ("audit", "other"):
        some.set(name, enabled=False, by="here")
    assert some.reset("audit")
    assert [some.of("audit"), switches(tmp_path).of("audit")] == [None, None]
    assert switches(tmp_path).of("other") is not None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": {"enabled": "no"}}', "\xff"])
def test_a_file_that_is_wrong(tmp_path: Path, text: str) -> None:
    """A faulty file is reported, and counts as none: the manifests decide then."""
    (tmp_path / NAME).write_text(text, "latin-1")
    warned: list[str] = []
    assert switches(tmp_path, warned).of("a") is None
    assert warned == ["plugins.switches_unreadable"]


def test_what_cannot_be_kept_does_not_hold(tmp_path: Path) -> None:
    """If the file cannot be written the operator is told, and nothing is switched."""
    (tmp_path / "state").write_text("in the way", "utf-8")
    some = switches(tmp_path / "state", [])
    with pytest.raises(ServerFault):
        some.set("audit", enabled=False, by="here")
    assert some.of("audit") is None


def test_without_state(tmp_path: Path) -> None:
    """Nothing is switched while another runtime holds the state folder; what that one wrote is
    read, and applies, once it has ended."""
    held, state = StateFolder(str(tmp_path)), StateFolder(str(tmp_path))
    held.take()
    state.take()
    some = Switches(state, lambda *_, **__: None)
    with pytest.raises(ServerFault) as caught:
        some.set("audit", enabled=False, by="here")
    assert "another runtime, process" in str(caught.value.detail)
    Switches(held, lambda *_, **__: None).set("other", enabled=False, by="there")
    held.let_go()
    state.take()
    some.reread()
    some.set("audit", enabled=False, by="here")
    assert [name for name in ("audit", "other") if some.of(name)] == ["audit", "other"]
