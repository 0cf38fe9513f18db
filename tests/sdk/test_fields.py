import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.sdk.fields import URI, Fields, File, Headers, Query, quote, unquote, urlencoded_pairs

TCHARS = "!#$%&'*+-.^_`|~0123456789abcxyzABCXYZ"
NAMES = st.text(alphabet=TCHARS, min_size=1, max_size=6)
# A few names in several cases, so that they often collide.
CLOSE_NAMES = st.sampled_from(["a", "A", "b", "B", "x-y", "X-Y"])
VALUES = st.text(
    alphabet=st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")
).map(lambda value: value.strip(" \t"))
PAIRS = st.lists(st.tuples(CLOSE_NAMES, VALUES), max_size=8)


def test_first_and_all() -> None:
    """For a repeated name [] and get give the first value, and getall gives all in order."""
    fields = Fields([("a", "1"), ("b", "2"), ("a", "3")])
    assert (fields["a"], fields.get("a"), fields.getall("a")) == ("1", "1", ["1", "3"])


def test_missing() -> None:
    """For a missing name [] raises KeyError, get gives the default and getall nothing."""
    fields = Fields([("a", "1")])
    assert (fields.get("b"), fields.get("b", "x"), fields.getall("b")) == (None, "x", [])
    with pytest.raises(KeyError, match="b"):
        fields["b"]


def test_names_of_fields_have_a_case() -> None:
    """The names in a query or form are case-sensitive."""
    fields = Query([("a", "1")])
    assert "a" in fields
    assert "A" not in fields
    assert 1 not in fields


@given(PAIRS)
def test_pairs_are_told_of_everywhere(pairs: list[tuple[str, str]]) -> None:
    """items(), keys(), iteration and len agree on the pairs, including repeats."""
    fields = Fields(pairs)
    assert fields.items() == pairs
    assert fields.keys() == list(fields) == [name for name, _ in pairs]
    assert len(fields) == len(pairs)
    assert bool(fields) is bool(pairs)


@given(PAIRS)
def test_a_dict_holds_first_values(pairs: list[tuple[str, str]]) -> None:
    """dict(fields) maps each name to its first value."""
    assert dict(Fields(pairs)) == dict(reversed(pairs))


def test_equality_knows_the_class() -> None:
    """Fields are equal if their class and pairs are; they are not hashable."""
    assert Query([("a", "1")]) == Query([("a", "1")])
    assert Query([("a", "1")]) != Fields([("a", "1")])
    assert Query([("a", "1")]) != [("a", "1")]
    with pytest.raises(TypeError):
        hash(Query())


def test_repr() -> None:
    """The repr shows class and pairs, and for a file its size instead of its bytes."""
    assert repr(Query([("a", "1")])) == "Query([('a', '1')])"
    assert repr(File("a.txt", "text/plain", b"abc")) == "File('a.txt', 'text/plain', 3 bytes)"


def test_files_are_values() -> None:
    """Two files are equal if their name, type and bytes are."""
    assert File("a", "b", b"c") == File("a", "b", b"c")
    assert len({File("a", "b", b"c"), File("a", "b", b"c"), File("a", "b", b"d")}) == 2
    assert File("a", "b", b"c") != ("a", "b", b"c")


@given(PAIRS)
def test_headers_keep_order_and_repeats(pairs: list[tuple[str, str]]) -> None:
    """Headers give back what they were made of, with names in lower case."""
    headers = Headers(pairs)
    assert headers.items() == [(name.lower(), value) for name, value in pairs]
    assert Headers(headers) == Headers(headers.items()) == headers


@given(PAIRS, CLOSE_NAMES)
def test_header_names_have_no_case(pairs: list[tuple[str, str]], name: str) -> None:
    """A header is found by its name in any case."""
    headers = Headers(pairs)
    assert headers.getall(name) == headers.getall(name.swapcase())
    assert (name in headers) == (name.swapcase() in headers) == bool(headers.getall(name))
    assert headers.get(name) == headers.get(name.swapcase())


@given(PAIRS, CLOSE_NAMES, VALUES)
def test_set_leaves_one(pairs: list[tuple[str, str]], name: str, value: str) -> None:
    """After set a name has one value, in the place of the first; all others stay."""
    headers = Headers(pairs)
    headers[name] = value
    assert headers.getall(name) == [value]
    others = [(other.lower(), text) for other, text in pairs if other.lower() != name.lower()]
    assert [pair for pair in headers.items() if pair[0] != name.lower()] == others
    before = [other.lower() for other, _ in pairs]
    place = before.index(name.lower()) if name.lower() in before else len(others)
    assert headers.keys().index(name.lower()) == place


@given(PAIRS, CLOSE_NAMES, VALUES)
def test_add_appends_and_remove_drops(pairs: list[tuple[str, str]], name: str, value: str) -> None:
    """add appends a pair, remove drops all pairs with a name and no others."""
    headers = Headers(pairs)
    headers.add(name, value)
    assert headers.items() == [*Headers(pairs).items(), (name.lower(), value)]
    headers.remove(name)
    assert headers == Headers([pair for pair in pairs if pair[0].lower() != name.lower()])


def test_headers_of_a_mapping() -> None:
    """Headers can be made from a mapping, from pairs, from Headers or from nothing."""
    assert Headers({"Accept": "*/*"}).items() == [("accept", "*/*")]
    assert Headers([("a", "1"), ("a", "2")]).items() == [("a", "1"), ("a", "2")]
    assert not Headers()


def test_copies_are_apart() -> None:
    """Headers made from other Headers do not change with them."""
    one = Headers({"a": "1"})
    two = Headers(one)
    two.add("b", "2")
    assert one.items() == [("a", "1")]


def test_trusted_pairs_become_tuples() -> None:
    """Pairs from the channel, which JSON turns into lists, become tuples."""
    assert Headers.trusted([["a", "1"]]).items() == [("a", "1")]


@given(NAMES, VALUES, st.sampled_from([chr(code) for code in [*range(9), *range(10, 32), 127]]))
def test_control_characters_are_refused(name: str, value: str, control: str) -> None:
    """A value with a control character is an error that names the header."""
    with pytest.raises(ValueError, match="no header can carry") as caught:
        Headers().add(name, f"x{value}{control}{value}x")
    assert repr(name) in str(caught.value)


def test_tabs_and_latin_1_may_stand() -> None:
    """A tab and the bytes from 0x80 on are allowed within a value (RFC 9110 5.5)."""
    assert Headers({"a": "b\tc\x80\xff"})["a"] == "b\tc\x80\xff"


def test_characters_no_header_can_carry() -> None:
    """A character above U+00FF is refused, since no byte encodes it."""
    with pytest.raises(ValueError, match=r"header 'x-name': the value holds '€'"):
        Headers({"x-name": "10 €"})


def test_whitespace_around_values_goes() -> None:
    """Whitespace around a value is not part of it (RFC 9110 5.5)."""
    assert Headers({"a": " \tb c\t "})["a"] == "b c"


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\n", "(a)", "a/b", '"a"'])
def test_names_are_tokens(name: str) -> None:
    """A name that is not a token is an error that shows it."""
    with pytest.raises(ValueError, match="is not a token") as caught:
        Headers().set(name, "x")
    assert repr(name) in str(caught.value)


@given(NAMES)
def test_tokens_are_names(name: str) -> None:
    """Every token is accepted as a name."""
    assert Headers({name: "x"}).keys() == [name.lower()]


@pytest.mark.parametrize("pair", [("content-length", 5), ("a", b"b"), (b"a", "b"), ("a", None)])
def test_names_and_values_are_text(pair: tuple[str, str]) -> None:
    """Anything but str is a TypeError that names the header and the types."""
    with pytest.raises(TypeError, match="must be str, not") as caught:
        Headers([pair])
    assert repr(pair[0]) in str(caught.value)


@given(st.lists(st.sampled_from([b"%", b"2", b"f", b"F", b"%2", b"%41", b"x", b"\xff", b"+"])))
def test_unquote(pieces: list[bytes]) -> None:
    """Percent-encoding is decoded as by urllib, and malformed input stays as it is."""
    raw = b"".join(pieces)
    assert unquote(raw) == urllib.parse.unquote_to_bytes(raw)


@given(st.text())
def test_quote(text: str) -> None:
    """Text is percent-encoded as by urllib, and decodes back to the same."""
    assert quote(text, URI) == urllib.parse.quote(text, safe=URI)
    assert unquote(quote(text, "az").encode()).decode() == text


@given(st.text(alphabet="a1&=+%2B;é ").map(lambda text: text.encode()))
def test_urlencoded_pairs(raw: bytes) -> None:
    """Pairs are decoded as by urllib, with blank values kept."""
    expected = urllib.parse.parse_qsl(raw.decode(), keep_blank_values=True, separator="&")
    assert urlencoded_pairs(raw, "replace") == expected


def test_what_is_not_utf_8_in_pairs() -> None:
    """Bytes that are not UTF-8 are replaced or refused, as the caller chooses."""
    assert urlencoded_pairs(b"a=%ff", "replace") == [("a", "\ufffd")]
    with pytest.raises(UnicodeDecodeError):
        urlencoded_pairs(b"a=%ff", "strict")


def test_del() -> None:
    """A field can be deleted as an item; deleting a missing one is an error, as in a dict."""
    headers = Headers({"A": "1", "B": "2"})
    del headers["a"]
    assert [*headers.items()] == [("b", "2")]
    with pytest.raises(KeyError):
        del headers["a"]
