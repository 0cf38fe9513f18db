"""What is withheld from workers as a credential, by its name or by its value."""

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
    """A bare word, or one without the underscore, counts in any case."""
    assert is_credential(name, "x")
    assert not is_credential(name, "")


@pytest.mark.parametrize(
    "name",
    "MODE PWD OLDPWD TOKENIZER SECRETARY PASSENGERS COMPASS BYPASSED KEY MONKEY PASSWORD_FILE "
    "DATABASE_URL DB_PASSWORD MY_TOKEN STRIPE_SECRET".split(),
)
def test_other_names(name: str) -> None:
    """Similar words do not count, nor does a name that merely begins or ends like one."""
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
    """A URL or a connection string that contains a password counts."""
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
    """Other values do not count, whatever colons and at-signs they have."""
    assert not is_credential("WHERE", value)


def test_those_of_an_environment() -> None:
    """The names of all credentials in an environment are returned in order."""
    env = {"TOKEN": "x", "MODE": "fast", "CACHE": "redis://:x@y", "APIKEY": ""}
    assert withheld(env) == ("CACHE", "TOKEN")
    assert withheld({"DB_URL": "", "my_token": "x"}) == ("DB_URL", "my_token")


@given(st.text(max_size=30), st.text(alphabet=":/@?=;& pwdas", max_size=60))
def test_anything_is_judged(name: str, value: str) -> None:
    """No text raises an error."""
    assert is_withheld(name, value) in (True, False)


def test_long_values_take_no_time() -> None:
    """A 64 KiB value built to be slow is scanned only once."""
    for value in ("://" * 20_000, "://" + ":" * 60_000, "password " * 7_000, "a@" * 30_000):
        is_credential("WHERE", value)
