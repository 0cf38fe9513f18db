"""Settings that name what is not there are logged once, at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from buntime.server.lifetime.announcing import warn_of_settings
from buntime.server.telemetry.logs import Log
from tests.support.fakesink import FakeSink
from tests.support.settings import make_settings


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, None),
        ({"RUNTIME_PLUGIN_DIRS": "{folder}"}, None),
        ({"RUNTIME_PLUGIN_DIRS": "{folder}:{folder}/gone"}, "there is no folder {folder}/gone,"),
        ({"RUNTIME_DEPLOY_DIR": "{folder}/gone"}, "RUNTIME_DEPLOY_DIR {folder}/gone is not a "),
        ({"RUNTIME_DEPLOY_DIR": "{folder}"}, None),
        ({"RUNTIME_APP_USERS": "shop=not-here"}, "RUNTIME_APP_USERS: shop=not-here: there is no "),
    ],
)
def test_what_has_no_effect(tmp_path: Path, variables: dict[str, str], said: str | None) -> None:
    """A folder or a user that is not there is told; a default that is not there is not."""
    given = {name: value.format(folder=tmp_path) for name, value in variables.items()}
    sink = FakeSink()
    warn_of_settings(Log(sink), make_settings(tmp_path, **given))
    told = [(record.event, record.message) for record in sink.records]
    if said is None:
        assert told == []
        return
    [(event, message)] = told
    assert event == "settings.without_effect"
    assert said.format(folder=tmp_path) in message
