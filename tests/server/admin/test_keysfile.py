"""Keys in a file, as Kubernetes and people provide it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from buntime.core.access.keyring import KeyRecord
from buntime.core.access.keytext import digest_of, make_key
from buntime.core.errors import ConfigError
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.keysfile import KeysFile, read_keys
from buntime.server.loop.loop import Loop
from tests.support.fakes import FakeSink, make_log
from tests.support.settings import make_settings

KEY = make_key(b"k" * 32)


def line(name: str, role: str = "admin", key: str = KEY) -> str:
    return f"- {{name: {name}, sha256: {digest_of(key).hex()}, roles: [{role}]}}\n"


def mounted(folder: Path, generation: str, text: str, mode: int = 0o440) -> Path:
    """A file mounted the way kubelet mounts a Secret and swaps in the next one: by one rename."""
    own = folder / f"..{generation}"
    own.mkdir(parents=True)
    (own / "keys.yaml").write_text(text)
    (own / "keys.yaml").chmod(mode)
    (folder / "..data_tmp").symlink_to(own.name)
    os.rename(folder / "..data_tmp", folder / "..data")
    path = folder / "keys.yaml"
    if not path.is_symlink():
        path.symlink_to("..data/keys.yaml")
    folder.chmod(0o1777)  # of a tmpfs
    return path


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o444, 0o600, 0o644, 0o640])
def test_what_kubelet_makes(tmp_path: Path, mode: int) -> None:
    """Links through ..data, in a world-writable folder, are read with every mode that lets nobody
    else write."""
    (record,) = read_keys(str(mounted(tmp_path / "k", "1", line("ann"), mode)))
    assert (record.name, record.digest) == ("ann", digest_of(KEY))


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o664])
def test_others_who_write(tmp_path: Path, mode: int) -> None:
    """Whoever could write to the file could add keys: it is refused, with what to do."""
    path = mounted(tmp_path / "k", "1", line("ann"), mode)
    with pytest.raises(ConfigError, match=rf"others can write it \(mode {mode:04o}\).*chmod go-w"):
        read_keys(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_another_users_file(tmp_path: Path) -> None:
    """A file of another user is refused as well."""
    path = mounted(tmp_path / "k", "1", line("ann"))
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to the user 65534"):
        read_keys(str(path))


def test_no_file(tmp_path: Path) -> None:
    """A missing file, a folder, and a pipe without a writer are refused."""
    os.mkfifo(tmp_path / "pipe")
    for path, why in (("none", "No such file"), (".", "not a regular file"), ("pipe", "not a reg")):
        with pytest.raises(ConfigError, match=why):
            read_keys(str(tmp_path / path))


class Subject:
    """A watched file, and the keys that it reported."""

    def __init__(self, path: Path) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.sink = FakeSink()
        self.taken: list[list[str]] = []
        self.live = LiveSettings(make_settings(RUNTIME_KEYS_FILE=str(path)))
        self.file = KeysFile(self.loop, self.live, make_log(self.sink), self._take, look_s=0.001)

    def _take(self, keys: tuple[KeyRecord, ...]) -> None:
        self.taken.append([f"{each.name}:{each.roles[0]}" for each in keys])

    def events(self) -> list[str]:
        return [record.event for record in self.sink.records]

    def until(self, event: str) -> None:
        while self.events().count(event) == 0:
            self.loop.run_once(10)


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    made = Subject(mounted(tmp_path / "k", "1", line("ann")))
    yield made
    made.loop.close()
    assert made.errors == []
    assert threading.active_count()


def test_it_is_read_again(tmp_path: Path, subject: Subject) -> None:
    """When the volume changes, the new keys are read without a signal."""
    assert subject.taken == [["ann:admin"]]
    subject.file.start()
    mounted(tmp_path / "k", "2", line("ann", "viewer") + line("bob", key=make_key(b"b" * 32)))
    subject.until("keys.changed")
    assert subject.taken[1:] == [["ann:viewer", "bob:admin"]]


def test_a_fault_changes_nothing(tmp_path: Path, subject: Subject) -> None:
    """A fault is reported once; the previous keys hold until the file is valid again."""
    subject.file.start()
    mounted(tmp_path / "k", "2", "- {name: ann}\n")
    subject.until("keys.file_invalid")
    for _ in range(20):
        subject.loop.run_once(0.002)
    assert subject.events() == ["keys.file_invalid"]
    assert subject.taken == [["ann:admin"]]
    mounted(tmp_path / "k", "3", line("ann"))
    subject.until("keys.file_valid")
    assert subject.taken == [["ann:admin"]]  # nothing has changed


def test_another_file(tmp_path: Path, subject: Subject) -> None:
    """The setting may change; without it there are no keys from a file."""
    subject.live.replace(replace(subject.live.now, keys_file=None))
    subject.until("keys.changed")
    assert subject.taken[1:] == [[]]
