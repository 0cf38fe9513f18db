"""The users that operators have invited: names, roles, passwords, second factors."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from authn import passwords
from authn.times import utc
from authn.tokens import has_form, hash_of, new_token

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from authn.database import Database

INVITATION_S, RESET_S = 7 * 86400.0, 3600.0
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?")
_TEXT_MAX = 200
_LIST_MAX = 50


class BadUser(Exception):
    """Invalid data about a user; says why. `code` is for programs."""

    def __init__(self, message: str, code: str = "bad_user", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class User(NamedTuple):
    """A user who may sign in by password."""

    name: str
    email: str
    full_name: str
    roles: list[str]
    groups: list[str]
    password: str | None  # its hash; None until the invitation was accepted
    totp: str | None  # the secret of the second factor
    totp_step: int  # of the last code that was used
    is_disabled: bool
    created: float

    def identity(self) -> dict[str, Any]:
        """What apps are told."""
        texts = {"user": self.name, "name": self.full_name, "email": self.email}
        lists = {"roles": self.roles, "groups": self.groups}
        return {
            **{key: text for key, text in texts.items() if text},
            **lists,
            "provider": "password",
        }

    def dump(self) -> dict[str, Any]:
        """For operators: without secrets."""
        return {
            "name": self.name,
            "email": self.email,
            "fullName": self.full_name,
            "roles": self.roles,
            "groups": self.groups,
            "hasPassword": self.password is not None,
            "hasSecondFactor": self.totp is not None,
            "disabled": self.is_disabled,
            "createdAt": utc(self.created),
        }


class Users:
    """All users, in the file."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        """`clock` returns seconds since 1970."""
        self._database = database
        self._clock = clock

    def find(self, name: str) -> User | None:
        row = self._database.row("SELECT * FROM users WHERE name = ?", name.casefold())
        return None if row is None else _user(row)

    def by_login(self, text: str) -> User | None:
        """By the name or, if only one user has it, the e-mail address."""
        found = self.find(text.strip())
        if found is not None:
            return found
        rows = self._database.rows(
            "SELECT * FROM users WHERE email != '' AND email = ? LIMIT 2", text.strip().casefold()
        )
        return _user(rows[0]) if len(rows) == 1 else None

    def list(self, *, after: str = "", most: int = -1) -> list[User]:
        """By name, those after `after`."""
        rows = self._database.rows(
            "SELECT * FROM users WHERE name > ? ORDER BY name LIMIT ?", after, most
        )
        return [_user(row) for row in rows]

    def check(self, given: dict[str, Any], user: User | None = None) -> User:
        """What `add` would make, or what `change` would make of `user`. Raises BadUser."""
        name = _name_of(given)
        if user is None and self.find(name) is not None:
            raise BadUser(f"there is a user {name} already", "user_exists", 409)
        email, full_name, roles, groups = _values({**_NOTHING, **given})
        made = user or User(name, "", "", [], [], None, None, 0, False, self._clock())
        return made._replace(
            email=email,
            full_name=full_name,
            roles=json.loads(roles),
            groups=json.loads(groups),
            is_disabled=_flag(given, "disabled", made.is_disabled),
        )

    def add(self, given: dict[str, Any]) -> User:
        """`given` has the form of `dump`, with a name. Raises BadUser."""
        name = _name_of(given)
        values = _values({**_NOTHING, **given})
        added = self._database.run(
            "INSERT OR IGNORE INTO users (name, email, full_name, roles, groups, created) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            name, *values, self._clock(),
        )  # fmt: skip
        if not added:
            raise BadUser(f"there is a user {name} already", "user_exists", 409)
        return self.found(name)

    def change(self, name: str, given: dict[str, Any]) -> User:
        """Change what `given` contains. Raises BadUser."""
        user = self.found(name)
        values = _values({**user.dump(), **given})
        disabled = _flag(given, "disabled", user.is_disabled)
        self._database.run(
            "UPDATE users SET email=?, full_name=?, roles=?, groups=?, disabled=? WHERE name=?",
            *values, disabled, user.name,
        )  # fmt: skip
        return self.found(name)

    def remove(self, name: str) -> None:
        """Raises BadUser."""
        self._database.run("DELETE FROM users WHERE name = ?", self.found(name).name)

    # Links for setting a password

    def link(self, name: str, kind: str) -> tuple[str, float]:
        """A token for an invitation or a reset, and when it ends; earlier ones become invalid."""
        user, now = self.found(name), self._clock()
        token, expires = new_token(), now + (INVITATION_S if kind == "invite" else RESET_S)
        with self._database.all():
            self._database.run("DELETE FROM links WHERE user = ? OR expires < ?", user.name, now)
            self._database.run(
                "INSERT INTO links VALUES (?, ?, ?, ?)", hash_of(token), user.name, kind, expires
            )
        return token, expires

    def by_link(self, token: str | None) -> User | None:
        """The user of the link, if it is still valid."""
        if token is None or not has_form(token):
            return None
        row = self._database.row(
            "SELECT users.* FROM users JOIN links ON links.user = users.name "
            "WHERE links.hash = ? AND links.expires > ? AND NOT users.disabled",
            hash_of(token), self._clock(),
        )  # fmt: skip
        return None if row is None else _user(row)

    def take_link(self, token: str, password: str) -> User | None:
        """Set the password of the link's user, once. Raises WeakPassword."""
        user = self.by_link(token)
        if user is None:
            return None
        passwords.check_strength(password, user.name, user.email)
        made = passwords.hash_password(password)
        with self._database.all():
            if not self._database.run("DELETE FROM links WHERE hash = ?", hash_of(token)):
                return None  # somebody was quicker
            self._database.run("UPDATE users SET password=? WHERE name=?", made, user.name)
        return self.find(user.name)

    # What users change themselves

    def set_password(self, name: str, password: str) -> None:
        """Raises WeakPassword."""
        user = self.found(name)
        passwords.check_strength(password, user.name, user.email)
        made = passwords.hash_password(password)
        self._database.run("UPDATE users SET password=? WHERE name=?", made, user.name)

    def renew_hash(self, name: str, password: str) -> None:
        """The same password, at today's costs."""
        made = passwords.hash_password(password)
        self._database.run("UPDATE users SET password=? WHERE name=?", made, name)

    def set_totp(self, name: str, secret: str | None, step: int = 0) -> None:
        self._database.run("UPDATE users SET totp=?, totp_step=? WHERE name=?", secret, step, name)

    def use_step(self, name: str, step: int) -> bool:
        """Whether a code of that time was not used before: each is valid once."""
        return bool(
            self._database.run(
                "UPDATE users SET totp_step=? WHERE name=? AND totp_step < ?", step, name, step
            )
        )

    def found(self, name: str) -> User:
        """Raises BadUser if there is none."""
        user = self.find(name)
        if user is None:
            raise BadUser(f"there is no user {name[:100]}", "user_not_found", 404)
        return user


_NOTHING: dict[str, Any] = {"email": "", "fullName": "", "roles": [], "groups": []}


def _user(row: sqlite3.Row) -> User:
    return User(
        row["name"],
        row["email"],
        row["full_name"],
        json.loads(row["roles"]),
        json.loads(row["groups"]),
        row["password"],
        row["totp"],
        row["totp_step"],
        bool(row["disabled"]),
        row["created"],
    )


def _name_of(given: dict[str, Any]) -> str:
    name = str(given.get("name", "")).casefold()
    if not _NAME.fullmatch(name):
        raise BadUser("name: write letters, digits and . _ - @ +, 64 at most, like ann")
    return name


def _flag(given: dict[str, Any], key: str, default: bool) -> bool:
    value = given.get(key, default)
    if not isinstance(value, bool):
        raise BadUser(f"{key}: write true or false")
    return value


def _values(given: dict[str, Any]) -> tuple[str, str, str, str]:
    email, full_name = _text(given, "email").casefold(), _text(given, "fullName")
    if email and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise BadUser("email: write an address like ann@example.com")
    return email, full_name, _list(given, "roles"), _list(given, "groups")


def _text(given: dict[str, Any], key: str) -> str:
    value = given[key]
    if not isinstance(value, str) or len(value) > _TEXT_MAX or not (value + "x").isprintable():
        raise BadUser(f"{key}: write text of at most {_TEXT_MAX} characters")
    return value.strip()


def _list(given: dict[str, Any], key: str) -> str:
    value = given[key]
    fits = isinstance(value, list) and len(value) <= _LIST_MAX
    if not fits or not all(_is_word(each) for each in value):
        raise BadUser(f"{key}: write a list of at most {_LIST_MAX} words")
    return json.dumps(sorted(set(value)))


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _TEXT_MAX and value.isprintable()
