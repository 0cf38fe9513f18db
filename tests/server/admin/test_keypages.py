"""What operators see of keys, and what they can do with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buntime.core.access.keyring import KeyRecord
from buntime.core.access.keytext import digest_of, is_key, make_key
from buntime.core.access.rights import Caller, verbs_of
from buntime.core.admin.keyroutes import KEYS
from buntime.core.admin.matching import RouteTable
from buntime.core.errors import HttpError
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import load_settings
from buntime.server.admin.api import Api
from buntime.server.admin.keypages import KeyPages
from tests.support.calls import ADMIN, FakeKeys
from tests.support.exchanges import FakeClient, FakeService
from tests.support.fakes import FakeAudit

NOW = 1_800_000_000.0
CI = Caller("ci", "key", verbs_of(["deployer", "keys:read", "keys:write"]), ("blog-*",), NOW + 100)


class Store(FakeKeys):
    """Keys in memory, with a disk that can be full."""

    fault: HttpError | None = None

    def check_changeable(self, name: str) -> None:
        """No key here comes from a file."""

    def add(
        self, record: KeyRecord, keep: Any, then: Callable[[BaseException | None], None]
    ) -> None:
        if self.fault is None:
            self.put(record)
        then(self.fault)

    def revoke(self, name: str, keep: Any, then: Callable[[BaseException | None], None]) -> None:
        if self.fault is None:
            self.ring.revoke(name, self.now)
        then(self.fault)


class World:
    def __init__(self) -> None:
        self.store = Store()
        self.store.now = NOW
        self.caller = ADMIN
        live = LiveSettings(
            load_settings(
                args={}, environ={"RUNTIME_WORKER_DIRS": "/"}, dotenv={}, mode="pyz", cores=2
            )
        )
        gate: Any = self
        store: Any = self.store
        self.audit = FakeAudit()
        pages = KeyPages(store, self.audit)  # type: ignore[arg-type]  # a fake
        self.api = Api(live, gate, RouteTable(KEYS), pages.handlers())

    def caller_of(self, _: object) -> Caller:
        return self.caller

    def ground(self, *_: object) -> None:
        """No request stays open."""

    def ask(
        self, method: str, path: str, value: object = None, if_match: str = ""
    ) -> tuple[int, Any]:
        """Return the status, and the answer or the error's code."""
        client = FakeClient(FakeService())
        body = b"" if value is None else json.dumps(value).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
        head += f"If-Match: {if_match}\r\n\r\n" if if_match else "\r\n"
        exchange = client.request(head.encode() + body)
        try:
            self.api.answer(exchange, path.partition("?")[0])
        except HttpError as error:
            exchange.fail(error)
        status = int(client.written.split()[1])
        self.tag = (re.findall(rb'etag: ("[^"]*")', client.written.lower()) or [b""])[0].decode()
        told = json.loads(client.written.partition(b"\r\n\r\n")[2])
        return status, told.get("error", told)

    def add(self, name: str, *roles: str, **more: object) -> tuple[int, Any]:
        return self.ask("POST", "/api/keys", {"name": name, "roles": list(roles), **more})


@pytest.fixture
def world() -> World:
    return World()


def test_a_key_is_made(world: World) -> None:
    """The key is shown once; what is shown later opens nothing."""
    status, told = world.add("laptop", "viewer", "data:read", apps=["blog-*"], expires="90d")
    key = told.pop("key")
    assert (status, is_key(key)) == (201, True)
    assert told == {
        "name": "laptop",
        "hint": key[:7],
        "roles": ["viewer", "data:read"],
        "apps": ["blog-*"],
        "origin": "state",
        "standing": "active",
        "created": "2027-01-15T08:00:00Z",
        "createdBy": "master",
        "expires": "2027-04-15T08:00:00Z",
        "lastUsed": None,
        "revoked": None,
    }
    assert world.store.ring.find([("x-api-key", key)]) is not None
    assert world.ask("GET", "/api/keys") == (200, {"keys": [told], "next": None})
    assert world.ask("GET", "/api/keys/laptop") == (200, told)


def test_a_key_is_revoked(world: World) -> None:
    """A key is revoked by its name, and revoking it again changes nothing."""
    world.add("laptop", "viewer")
    for _ in range(2):
        status, told = world.ask("DELETE", "/api/keys/laptop")
        assert (status, told["standing"], told["revoked"]) == (200, "revoked", told["created"])
    assert world.ask("DELETE", "/api/keys/none")[1]["code"] == "key_not_found"


def test_dry_runs(world: World) -> None:
    """A dry run makes and revokes nothing; what would be refused is refused."""
    status, told = world.ask("POST", "/api/keys?dryRun=1", {"name": "a", "roles": ["viewer"]})
    assert (status, told["key"], len(world.store)) == (200, None, 0)
    world.add("a", "viewer")
    refused = world.ask("POST", "/api/keys?dryRun=1", {"name": "a", "roles": ["viewer"]})
    assert (refused[0], refused[1]["code"]) == (409, "key_exists")
    assert world.ask("DELETE", "/api/keys/a?dryRun=1")[1]["standing"] == "active"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "name is missing"),
        ({"name": "a"}, "roles is missing"),
        ({"name": "", "roles": ["viewer"]}, "does not match"),
        ({"name": "../a", "roles": ["viewer"]}, "does not match"),
        ({"name": "a", "roles": []}, "roles: 0 entries"),
        ({"name": "a", "roles": ["root"]}, "roles[0]: 'root' is not one of"),
        ({"name": "a", "roles": ["viewer"], "apps": []}, "apps: 0 entries"),
        ({"name": "a", "roles": ["viewer"], "apps": ["a\nb"]}, "apps[0]"),
        ({"name": "a", "roles": ["viewer"], "expires": "soon"}, "expires: 'soon' is neither"),
        ({"name": "a", "roles": ["viewer"], "expires": "0s"}, "is in the past"),
        ({"name": "a", "roles": ["viewer"], "expires": "-1d"}, "is neither"),
        ({"name": "a", "roles": ["viewer"], "expires": "2020-01-01T00:00:00Z"}, "is in the past"),
        ({"name": "a", "roles": ["viewer"], "expires": "999999999d"}, "too far ahead"),
        ({"name": "a", "roles": ["viewer"], "globs": ["*"]}, "unknown key 'globs'"),
    ],
)
def test_what_cannot_be_made(world: World, wanted: object, message: str) -> None:
    """A key that cannot be made gets an answer that says why, and none is made."""
    status, told = world.ask("POST", "/api/keys", wanted)
    assert (status, told["code"]) == (400, "bad_body")
    assert message in told["message"]
    assert len(world.store) == 0


def test_a_disk_that_is_full(world: World) -> None:
    """A key that could not be stored is not shown."""
    world.store.fault = HttpError(503, "state_unavailable", "full")
    status, told = world.add("a", "viewer")
    assert (status, told["code"]) == (503, "state_unavailable")
    assert "bt_" not in json.dumps(told)


@pytest.mark.parametrize(
    ("roles", "more", "is_made"),
    [
        (["deployer"], {"apps": ["blog-2"], "expires": "10s"}, True),
        (["deployer"], {"apps": ["blog-*"], "expires": "100s"}, True),
        (["viewer"], {"apps": ["blog-2"], "expires": "10s"}, False),
        (["deployer"], {"expires": "10s"}, False),
        (["deployer"], {"apps": ["*"], "expires": "10s"}, False),
        (["deployer"], {"apps": ["blog-2"]}, False),
        (["deployer"], {"apps": ["blog-2"], "expires": "101s"}, False),
    ],
)
def test_no_key_makes_a_stronger_one(
    world: World, roles: list[str], more: dict[str, Any], is_made: bool
) -> None:
    """No key can make one that is stronger in verbs, apps or lifetime."""
    world.caller = CI
    status, told = world.add("new", *roles, **more)
    assert status == (201 if is_made else 403)
    assert is_made or told["code"] == "key_too_strong"


def test_no_key_sees_or_ends_a_stronger_one(world: World) -> None:
    """A key sees only keys that are no stronger than itself, and can revoke no others."""
    world.add("boss", "admin")
    world.add("peer", "deployer", apps=["blog-1"])
    world.caller = CI
    assert [each["name"] for each in world.ask("GET", "/api/keys")[1]["keys"]] == ["peer"]
    assert world.ask("GET", "/api/keys/boss")[1]["code"] == "key_too_strong"
    assert world.ask("DELETE", "/api/keys/boss")[1]["code"] == "key_too_strong"
    assert world.ask("DELETE", "/api/keys/boss?dryRun=1")[0] == 403
    assert world.ask("DELETE", "/api/keys/peer")[0] == 200


def test_pages(world: World) -> None:
    """The list comes in pages, by name, whatever is added or removed in between."""
    for number in range(7):
        key = make_key(bytes([number] * 32))
        record = KeyRecord(f"k{number}", digest_of(key), key[:7], ("viewer",), ("*",), NOW, "m")
        world.store.put(replace(record))
    seen: list[str] = []
    cursor = ""
    while True:
        _, told = world.ask("GET", f"/api/keys?limit=3{cursor}")
        seen += [each["name"] for each in told["keys"]]
        if told["next"] is None:
            break
        cursor = f"&cursor={told['next']}"
    assert seen == [f"k{number}" for number in range(7)]


def test_who_makes_keys(world: World, tmp_path: Path) -> None:
    """Each key records which key made it."""
    world.caller = CI
    assert world.add("a", "deployer", apps=["blog-1"], expires="9s")[1]["createdBy"] == "key ci"


def test_changes_that_were_not_seen(world: World) -> None:
    """A key is revoked only if it is unchanged since the caller looked at it; using a key is no
    change."""
    world.add("a", "viewer")
    world.ask("GET", "/api/keys/a")
    tag = world.tag
    world.store.ring.use("a", NOW + 1)
    world.ask("GET", "/api/keys/a")
    assert world.tag == tag
    for dry in ("?dryRun=1", ""):
        refused = world.ask("DELETE", f"/api/keys/a{dry}", if_match='"another"')
        assert (refused[0], refused[1]["code"]) == (412, "precondition_failed")
    assert world.ask("DELETE", "/api/keys/a", if_match=tag)[0] == 200
    assert world.ask("DELETE", "/api/keys/a", if_match=tag)[0] == 412
