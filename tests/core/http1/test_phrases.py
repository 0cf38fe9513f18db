"""The phrases are those of the standard library, but for those that RFC 9110 has changed."""

from http import HTTPStatus

from buntime.core.http1.phrases import PHRASES

OLDER = {
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}


def test_each_status_has_its_phrase() -> None:
    """There are as many as Python knows."""
    assert [*PHRASES] == [status.value for status in HTTPStatus]


def test_phrases_are_those_of_python() -> None:
    """Where Python's is another one, it is that of an older document."""
    others = {each.value: each.phrase for each in HTTPStatus if PHRASES[each] != each.phrase}
    assert others.items() <= OLDER.items()
