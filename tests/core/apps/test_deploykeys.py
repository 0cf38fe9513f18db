"""What a manifest says about deploys."""

import pytest

from buntime.core.apps.deploykeys import check_target, release_words
from buntime.core.values.units import BadValue


@pytest.mark.parametrize("path", ["/", "/healthz", "/a/b?c=d&e", "/%C3%A9"])
def test_a_path_to_check(path: str) -> None:
    """The path to check is below the app's base, and may have a query."""
    assert check_target(path) == path


@pytest.mark.parametrize(
    "value",
    ["healthz", "", "/a b", "/a\r\nX: y", "http://a/", "/#a", "/\u00e9", 7, None, "/" * 1001],
)
def test_no_path_to_check(value: object) -> None:
    """A path that could not be a request's target is refused."""
    with pytest.raises(BadValue, match="is not a path"):
        check_target(value)


def test_a_program() -> None:
    """A program is written as a command line or as a list of words."""
    assert release_words("python manage.py migrate") == ("python", "manage.py", "migrate")
    assert release_words([]) == ()
