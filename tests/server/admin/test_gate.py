"""Who is let in by which key, and which header fields apps never get to see."""

from __future__ import annotations

import pytest

from buntime.core.access.keyring import KeyRecord
from buntime.core.access.keytext import digest_of, make_key
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import load_settings
from buntime.server.admin.gate import Gate
from tests.support.calls import FakeKeys, gate_of

MASTER = "the-operator-s-key"
KEY, OTHER = make_key(b"a" * 32), make_key(b"b" * 32)
RECORD = KeyRecord("ci", digest_of(KEY), KEY[:7], ("viewer",), ("*",), 0.0, "master")


def gate(keys: FakeKeys, **environ: str) -> Gate:
    environ = {"RUNTIME_WORKER_DIRS": "/", **environ}
    live = LiveSettings(load_settings(args={}, environ=environ, dotenv={}, mode="pyz", cores=2))
    return gate_of(live, keys)


@pytest.mark.parametrize("name", ["x-api-key", "authorization"])
def test_fields_that_are_keys(name: str) -> None:
    """A field with a key of the runtime is withheld, even a revoked one; an app's own key is passed
    on."""
    start = "Bearer " if name == "authorization" else ""
    keys = FakeKeys(RECORD)
    subject = gate(keys, RUNTIME_MASTER_KEY=MASTER)
    for revoked in (False, True):
        if revoked:
            keys.ring.revoke("ci", 1.0)
        told = [subject.is_key_field((name, start + key)) for key in (KEY, MASTER, OTHER, "x")]
        assert told == [True, True, False, False]


def test_keys_that_are_not_known_yet() -> None:
    """Until the keys are known, anything that looks like a key is withheld from apps."""
    keys = FakeKeys()
    keys.is_known = False
    subject = gate(keys)
    assert subject.has_keys
    assert subject.bears([("x-api-key", OTHER)])
    assert not subject.bears([("x-api-key", OTHER[:-1]), ("x-api-key", "app-s")])
    keys.is_known = True
    assert not subject.has_keys
    assert not subject.bears([("x-api-key", OTHER)])
