"""The file of keys: what it contains, and its faults."""

from __future__ import annotations

import pytest

from buntime.core.access.keyring import IN_FILE, KEYS_MAX, KeyRecord
from buntime.core.access.keytext import digest_of, make_key
from buntime.core.config.keysfile import parse_keys
from buntime.core.errors import ConfigError

KEY = make_key(b"k" * 32)
SHA = digest_of(KEY).hex()
OTHER = "0e" + "1" * 62  # YAML reads this as a number


def parse(text: str) -> tuple[KeyRecord, ...]:
    return parse_keys(text.encode(), "keys.yaml", now=100.0)


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return list(caught.value.faults)


def test_what_a_key_says() -> None:
    """A key has a name, digest, roles, globs and an expiry; digest and time need no quotes."""
    first, second = parse(
        f"- name: laptop\n  sha256: {SHA.upper()}\n  roles: [admin]\n"
        f"- {{name: forge, sha256: {OTHER}, roles: [deployer, data:read], apps: ['blog-*'], "
        "expires: 2027-01-31T12:00:00Z}\n"
    )
    assert (first.name, first.digest, first.roles, first.globs) == (
        *("laptop", digest_of(KEY), ("admin",), ("*",)),
    )
    assert (first.expires_at, first.origin, first.created_by) == (None, IN_FILE, IN_FILE)
    assert second.digest == bytes.fromhex(OTHER)
    assert (second.roles, second.globs) == (("deployer", "data:read"), ("blog-*",))
    assert second.expires_at == 1_801_396_800.0


@pytest.mark.parametrize("text", ["", "---\n", "# none yet\n", "[]"])
def test_no_keys(text: str) -> None:
    """A file may contain no keys."""
    assert parse(text) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys: []", "keys.yaml:1: expected a list"),
        ("- laptop", "keys.yaml:1: this is not a key; write {name:"),
        ("- {name: a}", "keys.yaml:1: sha256 is missing"),
        (f"- {{name: a b, sha256: {SHA}, roles: [admin]}}", "name: 'a b'"),
        (f"- {{name: a, sha256: {SHA}, rols: [admin]}}", "unknown key 'rols'; did you mean roles?"),
        (f"- {{name: a, sha256: {SHA}, roles: [root]}}", "roles: there is no 'root'"),
        (f"- {{name: a, sha256: {SHA}, roles: []}}", "roles: write a list with at least one entry"),
        (f"- {{name: a, sha256: {SHA}, roles: admin, apps: ['a b']}}", "apps: write the name"),
        (
            f"- {{name: a, sha256: {SHA}, roles: admin, expires: 90d}}",
            "expires: '90d' is not a mom",
        ),
        (f"- {{name: a, sha256: {SHA}, roles: admin, roles: viewer}}", "given twice"),
        ("- &a {name: a}", "anchors and aliases are not supported"),
        ("- {name: a]", "not valid YAML"),
    ],
)
def test_faults_are_named(text: str, said: str) -> None:
    """Each fault has its line and says what to write."""
    (fault,) = faults(text)
    assert said.replace("'", '"') in fault.replace("'", '"')
    assert fault.startswith("keys.yaml:1:")


def test_a_key_in_the_place_of_its_digest() -> None:
    """A key that was written instead of its digest is not shown, since others read the logs."""
    (fault,) = faults(f"- {{name: a, sha256: {KEY}, roles: [admin]}}")
    assert "64 hexadecimal digits" in fault
    assert KEY not in fault


def test_two_of_a_name_or_a_digest() -> None:
    """Duplicate names and digests are all reported, each with the line of the first."""
    one = f"{{name: a, sha256: {SHA}, roles: [admin]}}"
    told = faults(
        f"- {one}\n- {one.replace(SHA, OTHER)}\n- {one.replace('name: a', 'name: b')}\n- {one}"
    )
    assert [each.split(": ", 2)[:2] for each in told] == [
        ["keys.yaml:2", "name"],
        ["keys.yaml:3", "sha256"],
        ["keys.yaml:4", "name"],
    ]
    assert "line 1" in told[0]


def test_bounds() -> None:
    """The number of keys and the size of the file are bounded."""
    assert "too many" in faults("- {}\n" * (KEYS_MAX + 1))[0]
    assert "larger than" in faults("#" * (1 << 20) + "\n\n")[0]
