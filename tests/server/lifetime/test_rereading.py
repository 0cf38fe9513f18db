"""Rereading the settings: what applies afterwards, and what the log says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buntime.core.errors import UsageError
from buntime.core.settings.endpoint import TcpEndpoint
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings, load_settings
from buntime.server.lifetime.rereading import Rereading
from tests.support.fakes import FakeAudit, FakeSink, make_log


class Fixture:
    """Settings in a file that a test edits."""

    def __init__(self, **environ: str) -> None:
        self.environ = environ
        self.sink = FakeSink()
        self.audit = FakeAudit()
        asked = self.read()
        # Someone else decides where to listen, as systemd does.
        self.live = LiveSettings(replace(asked, listen=(TcpEndpoint("::1", 1),)))
        self.changes: list[Settings] = []
        self.live.follow(self.changes.append)
        self.rereading = Rereading(
            self.live, asked, self.read, make_log(self.sink), fit=lambda asked: asked
        )

    def read(self) -> Settings:
        environ = {"RUNTIME_WORKER_DIRS": "/srv/apps", **self.environ}
        return load_settings(args={}, environ=environ, dotenv={}, mode="pyz", cores=2)

    def reread(self, **environ: str) -> list[tuple[str, object]]:
        """Reread the settings; returns what the log says."""
        self.environ = environ
        self.sink.records.clear()
        self.rereading.reread(self.audit)  # type: ignore[arg-type]  # a fake
        return [(record.event, *record.fields.values()) for record in self.sink.records]


@pytest.fixture
def fixture() -> Fixture:
    return Fixture(RUNTIME_POOL_SIZE="3")


def test_what_may_change(fixture: Fixture) -> None:
    """A live setting applies at once; the listening addresses stay."""
    told = fixture.reread(RUNTIME_POOL_SIZE="7")
    assert told == [("settings.changed", ["RUNTIME_POOL_SIZE"])]
    assert fixture.live.now.pool_size == 7
    assert fixture.live.now.listen == (TcpEndpoint("::1", 1),)
    assert fixture.changes == [fixture.live.now]


def test_what_names_nothing(fixture: Fixture) -> None:
    """A folder of plugins that is not there is told at once: guards in it do not run any more."""
    told = fixture.reread(RUNTIME_POOL_SIZE="3", RUNTIME_PLUGIN_DIRS="/nowhere")
    assert told == [("settings.changed", ["RUNTIME_PLUGIN_DIRS"]), ("settings.without_effect",)]


def test_what_takes_a_restart(fixture: Fixture) -> None:
    """Any other setting is named each time, and stays."""
    for _ in range(2):
        told = fixture.reread(RUNTIME_POOL_SIZE="3", PORT="9000", RUNTIME_LOG_FILE="/x")
        assert told == [("settings.restart_needed", ["PORT", "RUNTIME_LOG_FILE"])]
    assert (fixture.live.now.port, fixture.live.now.log_file) == (8000, None)
    assert fixture.changes == []


def test_nothing_new(fixture: Fixture) -> None:
    """Unchanged settings change nothing and are not logged."""
    assert fixture.reread(RUNTIME_POOL_SIZE="3") == []
    assert fixture.changes == []


def test_a_fault(fixture: Fixture) -> None:
    """Settings with a fault change nothing; the log names the fault, and later settings are
    accepted."""
    with pytest.raises(UsageError) as caught:
        Fixture(RUNTIME_POOL_SIZE="many")
    told = fixture.reread(RUNTIME_POOL_SIZE="many", RUNTIME_MASTER_KEY="k")
    assert told == [("settings.rejected", str(caught.value))]
    assert fixture.live.rejected == str(caught.value)
    assert fixture.live.now.master_key is None
    assert fixture.reread(RUNTIME_POOL_SIZE="4") == [("settings.changed", ["RUNTIME_POOL_SIZE"])]
    assert fixture.live.rejected == ""
