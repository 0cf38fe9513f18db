"""What is kept from workers as a credential, by its name or by its value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.credentials import is_credential, is_withheld, withheld


@pytest.mark.parametrize(
    "name",
    """
    PGPASSWORD TOKEN SECRET PASSWORD APIKEY pgpassword Token apiKey PASS PASSWD SMTP_PASS MYSQL_PWD
    AUTHTOKEN SECRETKEY PRIVATEKEY CREDENTIALS GOOGLE_CREDENTIALS SSHPASSPHRASE SECRETS
    """.split(),
)
def test_names(name: str) -> None:
    """A bare word, or one without the underscore, in any case."""
    assert is_credential(name, "x")
    assert not is_credential(name, "")


@pytest.mark.parametrize(
    "name",
    "MODE PWD OLDPWD TOKENIZER SECRETARY PASSENGERS COMPASS BYPASSED KEY MONKEY PASSWORD_FILE "
    "DATABASE_URL DB_PASSWORD MY_TOKEN STRIPE_SECRET".split(),
)
def test_other_names(name: str) -> None:
    """Neither words like these, nor what the beginning or end of its name tells."""
    assert not is_credential(name, "x")


@pytest.mark.parametrize(
    "value",
    [
        "postgres://me:hunter2@db/shop",
        "redis://:hunter2@cache:6379/0",
        "amqp://me:hun@ter2@mq",
        "https://a.example/ http://me:hunter2@b.example/",
        "host=db user=me password=hunter2",
        "Server=db;Password=hunter2;",
        "postgres://db/shop?user=me&password=hunter2",
        "jdbc:postgresql://me:hunter2@db/shop",
    ],
)
def test_values(value: str) -> None:
    """A URL or a connection string with a password in it."""
    assert is_credential("WHERE", value)


@pytest.mark.parametrize(
    "value",
    [
        "postgres://db/shop",
        "postgres://me@db/shop",
        "postgres://me:@db/shop",
        "https://a.example:8080/x@y",
        "https://a.example/?at=12:30@noon",
        "me@example.com",
        "password=",
        "reset_password=1",
        "a:b@c",
        "://",
    ],
)
def test_other_values(value: str) -> None:
    """Others, with all their colons and at-signs, are none."""
    assert not is_credential("WHERE", value)


def test_those_of_an_environment() -> None:
    """Their names, in order."""
    env = {"TOKEN": "x", "MODE": "fast", "CACHE": "redis://:x@y", "APIKEY": ""}
    assert withheld(env) == ("CACHE", "TOKEN")
    assert withheld({"DB_URL": "", "my_token": "x"}) == ("DB_URL", "my_token")


@given(st.text(max_size=30), st.text(alphabet=":/@?=;& pwdas", max_size=60))
def test_anything_is_judged(name: str, value: str) -> None:
    """No text is an error."""
    assert is_withheld(name, value) in (True, False)


def test_long_values_take_no_time() -> None:
    """64 KiB made to be slow are read once."""
    for value in ("://" * 20_000, "://" + ":" * 60_000, "password " * 7_000, "a@" * 30_000):
        is_credential("WHERE", value)
