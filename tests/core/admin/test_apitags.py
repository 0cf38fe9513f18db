"""ETags: equal values have equal tags, and a change that the client has not seen is never
overwritten."""

from __future__ import annotations

import pytest

from buntime.core.admin.apitags import check_match, tag_of
from buntime.core.errors import ClientFault

TAG = tag_of({"a": 1, "b": [2]})


def test_tags() -> None:
    """Tags differ between values and do not depend on the order of keys."""
    assert tag_of({"b": [2], "a": 1}) == TAG
    assert tag_of({"a": 1, "b": [3]}) != TAG
    assert (TAG[0], TAG[-1], len(TAG)) == ('"', '"', 18)


@pytest.mark.parametrize("field", [None, "*", " * ", TAG, f'"x", {TAG}'])
def test_what_matches(field: str | None) -> None:
    """The check passes without a condition, with `*`, and if the tag is listed."""
    check_match(field, TAG)


@pytest.mark.parametrize("field", ["", '"x"', TAG.strip('"'), f"W/{TAG}"])
def test_what_does_not(field: str) -> None:
    """Another tag, an empty list, or a weak tag fails the check."""
    with pytest.raises(ClientFault) as caught:
        check_match(field, TAG)
    assert (caught.value.status, caught.value.code) == (412, "precondition_failed")
