"""What INIT sends to a worker, for each ABI."""

import json

import pytest

from buntime.core.sandbox.kernel import RUN, USE, WRITE, Kernel, handled
from buntime.core.sandbox.order import (
    at_start,
    dropped_capabilities,
    make_order,
    preparation,
    when_begun,
    when_prepared,
)
from buntime.core.sandbox.plan import OWN_PROCESS, Rules

RULES: Rules = [(RUN, ["/usr"]), (WRITE, ["/srv/apps/shop"]), (USE, ["/dev/null"]), (RUN, [])]


@pytest.mark.parametrize("abi", range(3, 8))
def test_an_order_asks_for_nothing_unknown(abi: int) -> None:
    """Rights, ports and scopes that a later ABI added are left out, and all of it is plain JSON."""
    kernel = Kernel(abi)
    made = make_order("standard", RULES, kernel, program=b"\1" * 8, capabilities=[])
    assert json.loads(json.dumps(made)) == made
    rules = made["rules"]
    assert isinstance(rules, list)
    assert [paths for _, paths in rules] == [["/usr"], ["/srv/apps/shop"], ["/dev/null"]]
    assert all(access & ~handled(kernel) == 0 for access, _ in rules)
    assert made["ports"] == ([0] if abi >= 4 else [])
    assert made["filter"] == "01" * 8


def test_without_seccomp() -> None:
    """On a kernel without seccomp there is no filter."""
    kernel = Kernel(7, has_seccomp=False)
    made = make_order("strict", [], kernel, program=b"\1" * 8, capabilities=[])
    assert made["filter"] == ""


def test_capabilities() -> None:
    """With a user all capabilities are dropped; root keeps those that only affect its files."""
    assert dropped_capabilities(is_root=False, becomes_user=False) == []
    assert dropped_capabilities(is_root=True, becomes_user=True) == list(range(64))
    of_root = dropped_capabilities(is_root=True, becomes_user=False)
    assert {17, 21, 27} <= set(of_root)  # SYS_RAWIO, SYS_ADMIN, MKNOD
    assert not {0, 1, 6, 7} & set(of_root)  # CHOWN, DAC_OVERRIDE, SETGID, SETUID


def test_at_the_start_of_a_program() -> None:
    """A thread of the runtime gets no rule for /proc/self, which there is the runtime's own."""
    rules: Rules = [*RULES, (USE, [OWN_PROCESS])]
    made = make_order("standard", rules, Kernel(7), program=b"", capabilities=[])
    started = at_start(made, is_root=False, becomes_user=False)
    assert [paths for _, paths in made["rules"]][-1] == [OWN_PROCESS]
    assert started["rules"] == made["rules"][:-1]
    assert (started["capabilities"], started["own"]) == ([], [])


def test_capabilities_at_the_start_of_a_program() -> None:
    """A start as another user keeps the capabilities for that; the program can get none."""
    made = make_order("standard", RULES, Kernel(7), program=b"", capabilities=[])
    started = at_start(made, is_root=True, becomes_user=True)
    assert (started["capabilities"], started["own"]) == (list(range(64)), [])
    started = at_start(made, is_root=True, becomes_user=False)
    assert (
        started["capabilities"]
        == started["own"]
        == dropped_capabilities(is_root=True, becomes_user=False)
    )


def test_what_a_spare_is_told() -> None:
    """PREPARE has the common rules and the filter, and INIT the rest of the order."""
    told = preparation(RULES[:1], Kernel(7), program=b"\1" * 8)
    whole = make_order("standard", RULES, Kernel(7), program=b"\1" * 8, capabilities=[16])
    assert told["ruleset"] == whole["ruleset"]
    assert (told["filter"], told["ports"]) == ("01" * 8, [0])
    rest = when_begun(whole, RULES[1:], Kernel(7))
    assert told["rules"] + rest["rules"] == whole["rules"]
    assert (rest["filter"], rest["ports"], rest["is_begun"]) == ("", [], True)
    assert rest["capabilities"] == rest["own"] == [16]
    assert when_prepared(whole) == whole | {"filter": ""}
    assert not whole["is_begun"]
