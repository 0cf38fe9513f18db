"""What commands say about errors of the API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buntime.commands.apierrors import LISTS, refusal
from buntime.commands.cli import COMMANDS
from buntime.commands.targets import Target
from buntime.core.values.regex import regex

PAGE = (Path(__file__).parents[2] / "docs/errors.md").read_text("utf-8")
NO_COMMAND = {"worker_not_found", "deploy_not_found"}  # their messages name a page of the API


def told(code: str, message: str) -> str:
    body = json.dumps({"error": {"code": code, "message": message, "requestId": "1"}}).encode()
    target = Target(name="prod")
    return str(refusal(target, 404, body, request_id="1", what="/api"))


def test_every_kind_of_thing() -> None:
    """Each code for what is not there has the command that lists what is."""
    assert {*regex(r"`([a-z]+_not_found)`").findall(PAGE)} - NO_COMMAND == LISTS.keys()
    assert all(command.split()[1] in COMMANDS for command in LISTS.values())


@pytest.mark.parametrize("code", LISTS)
def test_where_to_look(code: str) -> None:
    """The command is added, once."""
    assert f"it is not there; see {LISTS[code]}" in told(code, "it is not there")
    assert told(code, "not there; see buntime show shop").count("see buntime") == 1


def test_a_key_that_is_no_longer_valid() -> None:
    """What the runtime says of a key is not contradicted."""
    body = {"error": {"code": "unauthorized", "message": "the key ci is revoked", "requestId": "1"}}
    target = Target(name="prod", key="bt_x")
    said = str(refusal(target, 401, json.dumps(body).encode(), request_id="1", what="/api"))
    assert said.startswith("prod: the key ci is revoked (make one on the host with buntime keys ")
    body["error"]["message"] = "this page needs a key"
    said = str(refusal(target, 401, json.dumps(body).encode(), request_id="1", what="/api"))
    assert "(the key that was sent is not one of its keys: make one" in said


def test_other_errors() -> None:
    """Other errors say what the runtime says."""
    assert "see buntime" not in told("version_exists", "it exists")
