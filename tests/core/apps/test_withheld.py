"""What is added to the error of an app that may miss a variable."""

from __future__ import annotations

import pytest

from buntime.core.apps.withheld import missed

KEPT = ("AWS_KEY", "DATABASE_URL")
UNPASSED = frozenset({"SENTRY_DSN", "USER", "EDITOR"})


def test_the_error_names_one() -> None:
    """If the error names a variable, the note says that the runtime has it, why the app does
    not, and what to do."""
    found = missed("KeyError: 'DATABASE_URL'", KEPT, UNPASSED)
    assert found is not None
    assert found.named == ("DATABASE_URL",)
    assert found.kept == KEPT
    assert found.words == (
        "the runtime has DATABASE_URL, which the error names, but does not pass it to apps; name "
        "secrets in the manifest's secrets, and set their values with buntime secrets set; "
        "also kept from the app: AWS_KEY (docs/secrets.md explains how apps get secrets)"
    )


def test_the_manifest_has_it() -> None:
    """What the manifest's own env gives, and is kept for its name, is not said to be the
    runtime's."""
    found = missed("KeyError: 'SECRET_KEY'", ("AWS_KEY", "SECRET_KEY"), (), {"SECRET_KEY": "dev"})
    assert found is not None
    assert found.words.startswith("the manifest's env has SECRET_KEY, which the error names, but ")
    both = missed("SECRET_KEY, AWS_KEY", ("AWS_KEY", "SECRET_KEY"), (), {"SECRET_KEY"})
    assert both is not None
    assert "the runtime has AWS_KEY, which" in both.words
    assert both.named == ("AWS_KEY", "SECRET_KEY")


def test_in_other_spellings() -> None:
    """A name is recognized in pydantic's spelling, and in a sentence."""
    for error in ("Settings\ndatabase_url\n  Field required", "Set the DATABASE_URL variable."):
        found = missed(error, KEPT, ())
        assert found is not None
        assert found.named == ("DATABASE_URL",)
    found = missed("KeyError: 'MY_DATABASE_URL_2'", KEPT, ())
    assert found is not None
    assert found.named == ()


def test_one_that_is_not_passed_on() -> None:
    """A variable that is not passed on belongs in the manifest; an unquoted word names no
    variable."""
    found = missed("KeyError: 'SENTRY_DSN'", (), UNPASSED)
    assert found is not None
    assert (found.named, found.kept) == (("SENTRY_DSN",), ())
    assert "add it there" in found.words
    assert missed("no table for USER or 'editor'", (), UNPASSED) is None


def test_the_error_names_none() -> None:
    """If the error names no variable, those withheld from the app are listed, if there are any."""
    found = missed("RuntimeError: no settings", KEPT, UNPASSED)
    assert found is not None
    assert found.named == ()
    assert found.words.startswith("kept from the app: AWS_KEY, DATABASE_URL (")
    assert missed("RuntimeError: no settings", (), UNPASSED) is None
    # An app never lacks the runtime's own settings.
    assert missed("RuntimeError: no settings", ("RUNTIME_MASTER_KEY",), UNPASSED) is None


@pytest.mark.parametrize(
    "error",
    [
        "app.py: ModuleNotFoundError: No module named 'flask'",
        "app.py: IndentationError: unexpected indent (app.py, line 2)",
        "app.py: nothing to serve: looked for fetch",
        "app.py: FileNotFoundError: [Errno 2] No such file or directory: 'prices.csv'",
        "app.py: PermissionError: [Errno 13] Permission denied: '/var/lib/x'",
        "app.py: ZeroDivisionError: division by zero",
        "/srv/apps/shop/buntime.yaml: secrets: the secret A is not set",
    ],
)
def test_errors_that_are_about_something_else(error: str) -> None:
    """If no variable can be the reason, the withheld ones are not mentioned."""
    assert missed(error, KEPT, UNPASSED) is None
    named = missed(f"{error} DATABASE_URL", KEPT, ())
    assert named is not None
    assert named.named == ("DATABASE_URL",)


@pytest.mark.parametrize(
    "error",
    [
        "app.py: AssertionError",  # assert os.environ.get(...)
        "app.py: json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        "app.py: TypeError: int() argument must be a string, not 'NoneType'",
    ],
)
def test_errors_that_a_missing_variable_may_cause(error: str) -> None:
    """If what a variable would give is missing, the error need not name it."""
    assert missed(error, KEPT, ()) is not None


def test_names_that_are_no_credentials() -> None:
    """A variable that is kept only for how its name begins is told of where the error names it."""
    assert missed("RuntimeError: no settings", ("AWS_CA_BUNDLE", "AWS_REGION"), ()) is None
    found = missed("RuntimeError: set AWS_REGION", ("AWS_CA_BUNDLE", "AWS_REGION"), ())
    assert found is not None
    assert (found.named, "AWS_CA_BUNDLE" in found.words) == (("AWS_REGION",), False)


def test_bounds() -> None:
    """A long error and many names still make no long line."""
    found = missed("x" * 10**6, [f"A{number}_KEY" for number in range(500)], ())
    assert found is not None
    assert len(found.words) < 500
    assert " and 480 more" in found.words
