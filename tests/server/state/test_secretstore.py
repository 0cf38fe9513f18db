"""Apps' secrets as the runtime has them, and their changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from buntime.core.apps.grants import VALUE_MAX_BYTES
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.settings.live import LiveSettings
from buntime.server.state.secretfiles import MOUNTED, SecretFiles, Stored
from buntime.server.state.secretstore import NoSecrets, Secrets, SecretStore, changes, read_secrets
from buntime.server.state.statefolder import StateFolder
from tests.support.apps import make_app
from tests.support.fakes import FakeLoop, FakeSink, make_log
from tests.support.settings import make_settings


class _Loop(FakeLoop):
    def __init__(self) -> None:
        super().__init__()
        self.later: list[Callable[[], None]] = []

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        assert seconds == 10.0
        self.later.append(callback)


class Place:
    """A store over folders."""

    def __init__(self, root: Path) -> None:
        self.mounted = root / "mounted"
        self.mounted.mkdir()
        self.state = root / "state"
        self.state.mkdir()
        self.files = SecretFiles(str(self.state))
        variables = {"RUNTIME_STATE_DIR": str(self.state), MOUNTED: str(self.mounted)}
        self.settings = make_settings(**variables)
        self.folder = StateFolder(str(self.state))
        self.loop, self.sink = _Loop(), FakeSink()
        log, live = make_log(self.sink), LiveSettings(self.settings)
        loop = cast(Any, self.loop)
        self.store = SecretStore(loop, live, self.folder, tell=log.info, warn=log.warn)
        self.told: list[dict[str, list[str]]] = []
        self.store.follow(
            lambda changed: self.told.append({key: sorted(names) for key, names in changed.items()})
        )

    def look(self) -> None:
        """Let ten seconds pass."""
        [look] = self.loop.later
        self.loop.later.clear()
        look()
        self.settle()

    def settle(self) -> None:
        while self.loop.calls:
            self.loop.turn()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def stored(value: str, origin: str = "state", **fields: Any) -> Stored:
    return Stored(value, 0.0, origin, **fields)


SHOP = make_app(secrets={"KEY": True, "HIDDEN": False})


def test_what_a_worker_is_told() -> None:
    """A worker gets the values that its app asks for and no others, and which of them are
    hidden."""
    there = {"KEY": stored("one"), "HIDDEN": stored("two"), "OTHER": stored("three")}
    told = Secrets({"shop": there, "blog": {"KEY": stored("theirs")}}).of(SHOP)
    assert told == {"values": {"KEY": "one", "HIDDEN": "two"}, "hidden": ["HIDDEN"]}


def test_who_asks_for_none() -> None:
    """An app that asks for no secrets gets none, whatever is stored."""
    assert Secrets({"shop": {"KEY": stored("one")}}).of(make_app()) is None


def test_what_is_missing() -> None:
    """All missing secrets are named, with the command to set them and what is known about them."""
    secrets = Secrets({"shop": {"KEY": stored("", fault="/x/KEY: the value is empty")}})
    assert secrets.missing(SHOP) == {"KEY": "/x/KEY: the value is empty", "HIDDEN": ""}
    with pytest.raises(NoSecrets) as caught:
        secrets.of(SHOP)
    assert str(caught.value) == (
        "the secrets KEY, HIDDEN are not set; set each with: buntime secrets set shop KEY; "
        "KEY: /x/KEY: the value is empty"
    )


def test_a_preview_gets_its_own_alone() -> None:
    """A preview gets its own secrets, and not its app's."""
    preview = make_app(version="0.0.0-preview.pr-12", secrets={"KEY": True})
    with pytest.raises(NoSecrets, match="buntime secrets set shop@preview KEY"):
        Secrets({"shop": {"KEY": stored("one")}}).of(preview)
    told = Secrets({"shop@preview": {"KEY": stored("two")}}).of(preview)
    assert told == {"values": {"KEY": "two"}, "hidden": []}


def test_too_much_for_one_app() -> None:
    """The total size of an app's values is bounded, since all are in one message."""
    value = stored("x" * VALUE_MAX_BYTES)
    app = make_app(secrets={"A": True, "B": True, "C": True})
    with pytest.raises(NoSecrets, match="longer than 128kb in total"):
        Secrets({"shop": {"A": value, "B": value, "C": value}}).of(app)


def test_changes() -> None:
    """A secret that is new, gone or different has changed; one with a fault counts as missing, and
    another origin is no change."""
    before = {"a": {"X": stored("1"), "Y": stored("1")}, "b": {"X": stored("1")}}
    after = {
        "a": {"X": stored("2"), "Y": stored("1", MOUNTED)},
        "c": {"X": stored("1"), "Z": stored("", fault="broken")},
    }
    assert changes(before, after) == {"a": {"X"}, "b": {"X"}, "c": {"X"}}
    assert changes(before, before) == {}


def test_it_is_read_at_the_start_and_every_ten_seconds(place: Place) -> None:
    """Followers are told what has changed, and nothing if nothing has."""
    place.files.set("shop", "KEY", "one")
    place.store.start()
    assert place.store.found["shop"]["KEY"].value == "one"
    place.look()
    assert place.told == []
    (place.mounted / "shop.HIDDEN").write_text("two")
    place.look()
    assert place.told == [{"shop": ["HIDDEN"]}]
    assert place.store.of(SHOP) is not None
    assert place.sink.events() == ["secret.changed"]
    assert "two" not in str(place.sink.records)


def test_an_operator_sets_and_removes(place: Place) -> None:
    """A change is in effect when it is reported; the answer says whether there was a value
    before."""
    place.store.start()
    answers: list[bool | ServerFault] = []
    place.store.set("shop", "KEY", "one", answers.append)
    place.store.set("shop", "HIDDEN", "two", answers.append)  # waits for the first
    place.settle()
    place.store.set("shop", "KEY", "three", answers.append)
    place.settle()
    place.store.remove("shop", "KEY", answers.append)
    place.settle()
    place.store.remove("shop", "KEY", answers.append)
    place.settle()
    assert answers == [False, False, True, True, False]
    assert place.told == [
        {"shop": ["KEY"]},
        {"shop": ["HIDDEN"]},
        {"shop": ["KEY"]},
        {"shop": ["KEY"]},
    ]
    assert [*place.store.found["shop"]] == ["HIDDEN"]


def test_what_is_mounted_cannot_be_changed_here(place: Place) -> None:
    """A change would be hidden at once by the mounted value, so it is refused, with where to change
    it."""
    (place.mounted / "shop.KEY").write_text("one")
    place.store.start()
    for act in (
        lambda: place.store.set("shop", "KEY", "two", lambda _: None),
        lambda: place.store.remove("shop", "KEY", lambda _: None),
    ):
        with pytest.raises(ClientFault, match="comes from RUNTIME_SECRETS_DIR") as caught:
            act()
        assert (caught.value.status, caught.value.code) == (409, "secret_mounted")


def test_without_a_state_folder(place: Place) -> None:
    """Mounted secrets are there; nothing can be set, and the answer says why."""
    (place.mounted / "shop.KEY").write_text("one")
    place.folder.trouble = "another runtime holds it"
    place.store.start()
    assert place.store.found["shop"]["KEY"].value == "one"
    with pytest.raises(ServerFault, match="another runtime holds it"):
        place.store.set("shop", "HIDDEN", "two", lambda _: None)


def test_a_volume_that_goes_takes_nothing_along(place: Place) -> None:
    """The secrets read before stay, and the log reports the missing volume once."""
    file = place.mounted / "shop.KEY"
    file.write_text("one")
    place.store.start()
    file.unlink()
    place.mounted.rmdir()
    place.look()
    place.look()
    assert place.store.found["shop"]["KEY"].value == "one"
    assert place.told == []
    assert place.sink.events() == ["secret.unreadable"]
    [record] = place.sink.records
    said = f"{place.mounted}: No such file or directory; name another folder in RUNTIME_SECRETS_DIR"
    assert record.fields["error"] == said


def test_a_write_that_fails(place: Place) -> None:
    """A failed write is reported to the caller, and the previous value stays."""
    place.files.set("shop", "KEY", "one")
    place.store.start()
    (place.state / "secrets/blog").symlink_to(place.mounted)
    answers: list[bool | ServerFault] = []
    place.store.set("blog", "KEY", "two", answers.append)
    place.settle()
    [answer] = answers
    assert isinstance(answer, ServerFault)
    assert (answer.status, answer.code) == (503, "state_unavailable")
    assert "two" not in answer.message
    assert place.store.found["shop"]["KEY"].value == "one"


def test_a_value_that_is_none_is_told_once(place: Place) -> None:
    """An invalid value is reported by its name and place, without its content."""
    (place.mounted / "shop.KEY").write_bytes(b"hunter2\xff")
    place.store.start()
    place.look()
    [record] = place.sink.records
    assert (record.event, record.fields["holder"], record.fields["name"]) == (
        "secret.invalid",
        "shop",
        "KEY",
    )
    assert "hunter2" not in str(record)


def test_read_once(place: Place) -> None:
    """Secrets can be read once, as `check` and `doctor` do."""
    place.files.set("shop", "KEY", "one")
    assert read_secrets(place.settings).missing(SHOP) == {"HIDDEN": ""}
