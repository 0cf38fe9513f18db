"""Simple lines are read as YAML reads them; all else is left to YAML."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buntime.core.apps.entry import Entry
from buntime.core.apps.linesdocument import read_lines
from buntime.core.apps.yamldocument import read_yaml

WORDS = st.sampled_from(
    "ttl workers a b y n yes No on OFF true True false null Null nan inf e3 x-y x_ 1h 30s 9ms 5d "
    "0 7 12345678901234567 123456789012345678 01 0x1 0b1 0o7 1e3 1_0 1.5 1s2 1hm ~ = << - ? ! "
    "2024-01-01 12:30 .5 +1 -1 [] {} '' \"x\" | > &x *x @ ` "
    "a.py a:b a/b:c a: :a a:1 a::b a:b:c a.".split()
) | st.text("abctrue019.:#-_ '\t\né", max_size=6)
LINES = st.lists(
    st.tuples(WORDS, st.sampled_from([": ", ":", " : ", ":  "]), WORDS).map("".join)
    | st.sampled_from(
        ["", "# note", "#", " # note", "#\t", "#\x01", "---", "...", "  a: 1", "- a"]
    ),
    max_size=4,
)


@given(LINES, st.sampled_from(["\n", "\r\n"]), st.sampled_from([(), ("a", "ttl")]))
@example(["a: 1", "b: 1h", "ttl: true"], "\n", ("ttl",))
@example(["", "# x: y", "workers: 2", ""], "\n", ())
def test_lines_are_read_as_yaml_reads_them(
    lines: list[str], end: str, verbatim: tuple[str, ...]
) -> None:
    """What is read here has the values, types and lines that YAML gives."""
    text = end.join(lines)
    made = read_lines(text, verbatim)
    if made is not None:
        asked = read_yaml(text, verbatim=verbatim, levels=2, lists=("b",), hides_values=False)
        assert repr(made) == repr(asked)


def test_what_most_manifests_have() -> None:
    """Words, numbers, durations, switches and comments need no YAML."""
    text = "# kept\nttl: 1h\n\nworkers: 2\nenabled: true\nentry: my/app.py:make_app\nversion: 3\n"
    assert read_lines(text, ("version",)) == {
        "ttl": Entry("1h", 2),
        "workers": Entry(2, 4),
        "enabled": Entry(True, 5),
        "entry": Entry("my/app.py:make_app", 6),
        "version": Entry("3", 7),
    }
    assert read_lines("", ()) == {}


@pytest.mark.parametrize(
    "text",
    [
        "a: yes\n",
        "a: Null\n",
        "a: 1.10\n",
        "a: 010\n",
        "a: 1e3\n",
        "a: 2024-01-01\n",
        "a: 12:30\n",
        "a: /x\n",
        "a: b:\n",
        "a: b:1\n",
        "a: b:c:d\n",
        "a: 'x'\n",
        "a:\n",
        "a: b c\n",
        "a: b # c\n",
        "a: b \n",
        " a: b\n",
        "a: b\n c\n",
        "a: 1\r\n",
        "a: 1\na: 2\n",
        "on: 1\n",
        "a: é\n",
        "#\x00\n",
        "---\na: 1\n",
        "a: 123456789012345678\n",
        "- a: 1\n",
    ],
)
def test_what_is_left_to_yaml(text: str) -> None:
    """What YAML might take for something else is not read here."""
    assert read_lines(text, ()) is None
