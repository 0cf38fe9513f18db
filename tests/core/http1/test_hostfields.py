"""Which fields of an answer act on its whole host."""

from pathlib import Path

import pytest

from buntime.core.http1.hostfields import (
    LEFT_OUT,
    LENGTHS,
    SCOPE,
    acts_on_host,
    scope_below,
    without_host_fields,
)

DOCS = Path(__file__).parents[3] / "docs/security.md"


@pytest.mark.parametrize("name", sorted({*LEFT_OUT, SCOPE, "set-cookie"}))
def test_a_field_for_the_host(name: str) -> None:
    """It is one in any case, and has one of the lengths that are looked at."""
    assert len(name) in LENGTHS
    assert acts_on_host([name, "x"])
    assert acts_on_host([name.title(), "x"])
    assert not acts_on_host([f"x-{name}", "x"])


@pytest.mark.parametrize(
    "name",
    ["content-type", "accept-ch", "refresh", "location", "origin-agent-cluster", "expires", "etag"],
)
def test_a_field_for_the_page(name: str) -> None:
    """Others are about one page, or do other apps no harm."""
    assert not acts_on_host([name, "x"])


def test_a_scope_ends_with_a_slash() -> None:
    """Browsers compare beginnings: without it, the scope could be that of another app."""
    assert scope_below("/shop") == "/shop/"


def test_what_is_left_for_operators() -> None:
    """Cookies stay, which are looked at elsewhere; what is no field stays for the answer to
    refuse."""
    fields = [("NEL", "x"), ("a", "b"), (SCOPE, "/"), ("set-cookie", "a=b")]
    assert without_host_fields(fields) == [("a", "b"), ("set-cookie", "a=b")]
    malformed = [[], [1, "x"], ["alt-svc"]]
    assert without_host_fields(malformed) == malformed[:2]  # type: ignore[arg-type]  # malformed


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_the_docs_name_it(name: str) -> None:
    """docs/security.md says what is left out."""
    assert f"`{name}`" in DOCS.read_text().lower()
