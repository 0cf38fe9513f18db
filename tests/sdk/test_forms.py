import re
import time
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.sdk.fields import BadBody, File, Form
from buntime.sdk.forms import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    BadForm,
    decode_text,
    parse_form,
    parse_multipart,
    parse_parameters,
    parse_urlencoded,
)

BOUNDARY = "----WebKitFormBoundary7MA4YWxk"
Pairs = list[tuple[str, str | File]]


def by_browser(name: str) -> str:
    """Escape a name as the HTML standard requires."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def by_backslash(name: str) -> str:
    """Escape a name as a quoted-string of RFC 9110."""
    return name.replace("\\", "\\\\").replace('"', '\\"')


def encode(pairs: Pairs, boundary: str, escape: Callable[[str], str] = by_browser) -> bytes:
    """Write a form as browsers do."""
    body = b""
    for name, value in pairs:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{escape(name)}"'.encode()
        if isinstance(value, File):
            body += f'; filename="{escape(value.filename)}"'.encode()
            body += f"\r\nContent-Type: {value.content_type}".encode()
            body += b"\r\n\r\n" + value.data + b"\r\n"
        else:
            body += b"\r\n\r\n" + value.encode() + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def part(head: str, content: bytes = b"x") -> bytes:
    """Write a form with one part that has this head."""
    return b"--b\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n--b--\r\n"


def fits(boundary: str, content: bytes) -> bool:
    """Tell whether the boundary is nowhere in the content, as the writer of a form must ensure."""
    delimiter = f"\r\n--{boundary}".encode()
    return (b"\r\n" + content + delimiter).find(delimiter) == len(content) + 2


# Characters allowed in a quoted name: no control characters, since browsers remove them.
LETTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='%\\"')
BROWSER_NAMES = st.text(alphabet=LETTERS | st.sampled_from('"\r\n'), max_size=8)
BACKSLASH_NAMES = st.text(alphabet=LETTERS | st.sampled_from('"\\;='), max_size=8)
# Content that is as close to a boundary as possible.
NEARLY = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", BOUNDARY[:-1].encode(), b"\0"])
).map(b"".join)
CONTENTS = (st.binary() | NEARLY).filter(lambda content: fits(BOUNDARY, content))
TEXTS = st.text(max_size=8) | NEARLY.map(bytes.decode)


def forms(names: st.SearchStrategy[str]) -> st.SearchStrategy[Pairs]:
    """Lists of pairs with text and files."""
    files = st.builds(File, names, st.sampled_from(["text/plain", "image/png"]), CONTENTS)
    texts = TEXTS.filter(lambda text: fits(BOUNDARY, text.encode()))
    return st.lists(st.tuples(names, files | texts), max_size=5)


@given(forms(BROWSER_NAMES))
def test_round_trip_of_browsers(pairs: Pairs) -> None:
    """What a browser sends is read back, whatever its bytes and names are."""
    assert parse_multipart(encode(pairs, BOUNDARY), BOUNDARY) == Form(pairs)


@given(forms(BACKSLASH_NAMES))
def test_round_trip_of_quoted_strings(pairs: Pairs) -> None:
    """What other clients send, with names escaped by backslashes, is read back too."""
    assert parse_multipart(encode(pairs, BOUNDARY, by_backslash), BOUNDARY) == Form(pairs)


@given(forms(BROWSER_NAMES), st.data())
def test_no_part_of_a_form_is_a_form(pairs: Pairs, data: st.DataObject) -> None:
    """A body that is cut off anywhere is an error, never a shorter form."""
    whole = encode(pairs, BOUNDARY)
    end = data.draw(st.integers(0, len(whole) - len(b"-\r\n")))
    with pytest.raises(BadForm):
        parse_multipart(whole[:end], BOUNDARY)


@given(
    st.lists(
        st.sampled_from(
            [
                b"--b",
                b"--b\r\n",
                b"--b--",
                b"\r\n",
                b"\r\n\r\n",
                b'Content-Disposition: form-data; name="a"',
                b"; filename=",
                b"Content-Type: text/plain; charset=",
                b'"',
                b"\\",
                b";",
                b"utf-16",
                b"\xff",
                b"x",
            ]
        )
    ).map(b"".join)
    | st.binary()
)
def test_garbage(body: bytes) -> None:
    """Any bytes give a form or a BadForm, and nothing else."""
    try:
        parse_multipart(body, "b")
    except BadForm as error:
        assert str(error)  # noqa: PT017  # either outcome is fine, another exception is not


@given(st.text())
def test_garbage_in_parameters(value: str) -> None:
    """Any header is split, or gives a BadForm."""
    try:
        kind, _ = parse_parameters(value)
    except BadForm:
        return
    assert kind == value.partition(";")[0].strip(" \t").lower()


def test_preamble_epilogue_and_padding() -> None:
    """Text around the parts, and whitespace after a boundary, is skipped (RFC 2046)."""
    body = (
        b"This is a form.\r\n--b \t\r\n"
        b"content-disposition:form-data;name=a\r\n\r\n1\r\n--b-- \r\nThe end.\r\n--b\r\n"
    )
    assert parse_multipart(body, "b") == Form([("a", "1")])


def test_empty_forms() -> None:
    """A form without parts is what browsers send for an empty FormData."""
    assert parse_multipart(b"--b--\r\n", "b") == parse_multipart(b"--b--", "b") == Form()


def test_parts_without_content() -> None:
    """A part may end after its headers (RFC 2046: the CRLF belongs to the boundary)."""
    head = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    assert parse_multipart(head + b"--b--", "b") == Form([("a", "")])
    assert parse_multipart(head + b"\r\n--b--", "b") == Form([("a", "")])


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (r'"C:\dir\a.txt"', r"C:\dir\a.txt"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ('"%22%0D%0A%41"', '"\r\n%41'),
        ('"é;=,"', "é;=,"),
        ("plain.txt", "plain.txt"),
        ('""', ""),
    ],
)
def test_file_names(sent: str, name: str) -> None:
    """A file's name is read as browsers, curl and old Windows clients write it."""
    form = parse_multipart(part(f'Content-Disposition: form-data; name="f"; filename={sent}'), "b")
    assert form.items() == [("f", File(name, "application/octet-stream", b"x"))]


def test_charsets_of_parts() -> None:
    """Text is decoded with the part's charset; a file's bytes stay as they are."""
    head = 'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset=latin-1'
    assert parse_multipart(part(head, b"\xe9"), "b") == Form([("a", "é")])
    head = head.replace('"a"', '"a"; filename="f"')
    assert parse_multipart(part(head, b"\xe9"), "b") == Form(
        [("a", File("f", "text/plain; charset=latin-1", b"\xe9"))]
    )


GOOD = 'Content-Disposition: form-data; name="a"'


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "boundary of the Content-Type is nowhere"),
        (b"--c--", "boundary of the Content-Type is nowhere"),
        (b"x--b--", "boundary of the Content-Type is nowhere"),
        (b"--bc\r\n", "delimiter before part 1 ends in b'c'"),
        (b"--b--x", "delimiter before part 1 ends in b'x'"),
        (b"--b\n\n", "delimiter before part 1 ends in"),
        (b"--b", "part 1 does not start"),
        (b"--b\r\n" + GOOD.encode(), "part 1 has no end of its headers"),
        (part(GOOD)[:-9], "part 1 does not end"),
        (part(GOOD).replace(b"--b--", b"--bx"), "delimiter before part 2 ends in b'x'"),
        (part(""), "part 1 has the malformed header ''"),
        (part("Content-Type: a/b"), "part 1 lacks a Content-Disposition of form-data"),
        (part("Content-Disposition: form-data"), "with a name"),
        (part('Content-Disposition: attachment; name="a"'), "lacks a Content-Disposition"),
        (part(GOOD + "; name=b"), "malformed header .* at"),
        (part(GOOD + "\r\n" + GOOD), "part 1 has the malformed header"),
        (part(GOOD + "\r\n folded"), "part 1 has the malformed header ' folded'"),
        (part(GOOD + "\r\nno colon"), "part 1 has the malformed header 'no colon'"),
        (part(GOOD + "\r\na b: c"), "part 1 has the malformed header 'a b: c'"),
        (part(GOOD + "\r\na: b\nc"), "part 1 has the malformed header"),
        (part('Content-Disposition: form-data; name="a'), "malformed header"),
        (part('Content-Disposition: form-data; name="a"b'), "malformed header"),
        (part("Content-Disposition: form-data; name"), "malformed header"),
        (part(GOOD + "; filename=y; filename*=UTF-8''x"), "two names, 'y' and 'x'"),
        (part(GOOD + "; filename*=UTF-8''%FF"), "malformed filename\\*"),
        (part(GOOD + "; filename*=UTF-8''%0D%0A"), "malformed filename\\*"),
        (part(GOOD + "; filename*=UTF-8''%00"), "malformed filename\\*"),
        (part(GOOD + "; filename*=UTF-8''%4"), "malformed filename\\*"),
        (part(GOOD + "; filename*=utf-16''a"), "malformed filename\\*"),
        (part(GOOD + "; filename*=x"), "malformed filename\\*"),
        (part(GOOD + "; filename*0=a; filename*1=b"), "filename in pieces"),
        (part(GOOD + "; filename=a.jpg; filename*=UTF-8''%C3%A4.php"), "two names"),
        (part(GOOD + "; filename=a.jpg; filename*=UTF-8''a.php"), "two names"),
        (part(GOOD + "; filename*=UTF-8''a; filename*=UTF-8''b"), "malformed header"),
        (part(GOOD + "; name*=UTF-8''b"), "two names"),
        (
            part("Content-Disposition: form-data; name=\"=?utf-8?B?*?=\"; name*=UTF-8''b"),
            "two names",
        ),
        (part("Content-Disposition: form-data; filename=a"), "lacks a Content-Disposition"),
        (part(GOOD + "\r\nContent-Transfer-Encoding: base64"), "RFC 7578 4.7"),
        (part(GOOD, b"\xff"), r"part 1 \('a'\): the text is not utf-8"),
        (part(GOOD + "\r\nContent-Type: text/plain; charset=no"), "charset 'no' is unknown"),
        (b"--b\r\n\xff: x\r\n\r\nx\r\n--b--", "headers of part 1 are not UTF-8"),
    ],
)
def test_malformed(body: bytes, says: str) -> None:
    """A malformed form is an error that says what is wrong, and in which part."""
    with pytest.raises(BadForm, match=says):
        parse_multipart(body, "b")


NAIVE = "na\u00efve \u20ac.txt"
EXT = "na%C3%AFve%20%E2%82%AC.txt"
BASE64_WORD = "=?utf-8?B?bmHDr3ZlIOKCrC50eHQ=?="
QUOTED_WORD = "=?UTF-8?Q?na=C3=AFve_=E2=82=AC.txt?="


@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        # .NET's MultipartFormDataContent, with an ASCII name and with another one.
        ("form-data; name=f; filename=a.txt; filename*=utf-8''a.txt", "f", "a.txt"),
        (
            f"form-data; name=f; filename=\"{BASE64_WORD}\"; filename*=utf-8''{EXT}",
            "f",
            NAIVE,
        ),
        # Spring's RestTemplate
        (
            f'form-data; name="f"; filename="{QUOTED_WORD}"; filename*=UTF-8\'\'{EXT}',
            "f",
            NAIVE,
        ),
        # Apache HttpClient in its extended mode
        (f'form-data; name="f"; filename*="UTF-8\'\'{EXT}"', "f", NAIVE),
        # aiohttp: files, and a field whose name is not ASCII
        (f'form-data; name="f"; filename="{EXT}"; filename*=utf-8\'\'{EXT}', "f", NAIVE),
        ("form-data; name*=utf-8''%C3%A4; filename=\"a.txt\"", "\u00e4", "a.txt"),
        # requests with urllib3 before 1.25
        (f"form-data; name=\"f\"; filename*=utf-8''{EXT}", "f", NAIVE),
        # urllib3, browsers, curl, httpx, Go, OkHttp, PHP
        (f'form-data; name="f"; filename="{NAIVE}"', "f", NAIVE),
        # RFC 6266, appendix D, and RFC 8187's other charset
        (f"form-data; name=f; filename=\"na_ve _.txt\"; filename*=UTF-8'en'{EXT}", "f", NAIVE),
        ("form-data; name=f; filename*=iso-8859-1''%E4", "f", "\u00e4"),
        ("form-data; name=f; filename=\"\"; filename*=UTF-8''", "f", ""),
        # What cannot be mistaken for an encoding stays as it is.
        ('form-data; name=f; filename="=?utf-8?B?w6Q=?="', "f", "=?utf-8?B?w6Q=?="),
    ],
)
def test_names_as_they_are_sent(disposition: str, name: str, filename: str) -> None:
    """Non-ASCII names are read in the form of each sender, even with two forms side by side."""
    ((got, file),) = parse_multipart(part(f"Content-Disposition: {disposition}"), "b").items()
    assert isinstance(file, File)
    assert (got, file.filename) == (name, filename)


def test_plain_transfer_encodings() -> None:
    """A transfer encoding that changes nothing is accepted."""
    head = GOOD + "\r\nContent-Transfer-Encoding: Binary"
    assert parse_multipart(part(head), "b")["a"] == "x"


@pytest.mark.parametrize("boundary", ["", "a ", "a" * 71, "é", "a\r\nb", "a;b", "a\\b"])
def test_bad_boundaries(boundary: str) -> None:
    """A boundary outside RFC 2046 5.1.1 is refused, and shown."""
    with pytest.raises(BadForm, match="is not one") as caught:
        parse_multipart(b"", boundary)
    assert repr(boundary) in str(caught.value)


def test_the_longest_boundary() -> None:
    """A boundary may have 70 characters, including spaces inside."""
    boundary = "a b" + "'()+_,-./:=?" * 5 + "1234567"
    assert len(boundary) == 70
    assert parse_multipart(encode([("a", "1")], boundary), boundary) == Form([("a", "1")])


def test_most_parts() -> None:
    """A thousand parts are accepted, one more is not."""
    pairs: Pairs = [("a", "1")] * MAX_FIELDS
    assert len(parse_multipart(encode(pairs, "b"), "b")) == MAX_FIELDS
    with pytest.raises(BadForm, match="more than 1000 parts"):
        parse_multipart(encode([*pairs, ("a", "1")], "b"), "b")


def test_longest_head() -> None:
    """The headers of a part may have 16 KiB, and no byte more."""
    room = MAX_HEAD_BYTES - len(GOOD + "\r\nx: ")
    assert parse_multipart(part(f"{GOOD}\r\nx: {'y' * room}"), "b")["a"] == "x"
    with pytest.raises(BadForm, match="part 1 has no end of its headers within 16384 bytes"):
        parse_multipart(part(f"{GOOD}\r\nx: {'y' * (room + 1)}"), "b")


@pytest.mark.parametrize(
    "head",
    [
        GOOD + '; x="' + "\\" * 16000,
        GOOD + '; x="' + '\\"' * 8000,
        GOOD + "; x=" + " ;" * 8000 + '"',
        GOOD + " \t" * 8000 + "x",
    ],
)
def test_heads_take_linear_time(head: str) -> None:
    """A head that is built to be slow takes linear time; quadratic time would exceed a second."""
    started = time.process_time()
    with pytest.raises(BadForm):
        parse_multipart(part(head), "b")
    assert time.process_time() - started < 0.5


# application/x-www-form-urlencoded


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=5))
def test_round_trip_of_urlencoded(pairs: list[tuple[str, str]]) -> None:
    """What urllib encodes is read back."""
    assert parse_urlencoded(urllib.parse.urlencode(pairs).encode()) == Form(pairs)


def test_urlencoded_limits() -> None:
    """A thousand fields are accepted, but not one more, and not what is not UTF-8."""
    assert len(parse_urlencoded(b"&".join([b"a=1"] * MAX_FIELDS))) == MAX_FIELDS
    with pytest.raises(BadForm, match="more than 1000 fields"):
        parse_urlencoded(b"&".join([b"a=1"] * (MAX_FIELDS + 1)))
    with pytest.raises(BadForm, match="not UTF-8"):
        parse_urlencoded(b"a=%ff")


# By content type


def test_parse_form() -> None:
    """The content type, in any case, decides how a form is read."""
    assert parse_form(b"a=1", "Application/X-WWW-Form-URLEncoded; charset=utf-8")["a"] == "1"
    body = encode([("a", "1")], "x y")
    assert parse_form(body, 'multipart/form-data; boundary="x y"')["a"] == "1"


@pytest.mark.parametrize(
    ("content_type", "says"),
    [
        ("", "Content-Type is ''; a form comes as application/x-www-form-urlencoded or"),
        ("application/json", "Content-Type is 'application/json'"),
        ("multipart/mixed; boundary=b", "Content-Type is 'multipart/mixed"),
        ("multipart/form-data", "lacks the boundary"),
        ("multipart/form-data; boundary=", "malformed header"),
        ('multipart/form-data; boundary=""', "boundary '' is not one"),
    ],
)
def test_other_content_types(content_type: str, says: str) -> None:
    """Another content type, or one without a boundary, is an error that shows it."""
    with pytest.raises(BadForm, match=re.escape(says)):
        parse_form(b"", content_type)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ("", {})),
        ("Text/Plain", ("text/plain", {})),
        ("text/plain;", ("text/plain", {})),
        ("text/plain ; ; Charset=UTF-8 ;", ("text/plain", {"charset": "UTF-8"})),
        ('a/b; c="d;e\\"f"; g=h', ("a/b", {"c": 'd;e"f', "g": "h"})),
        ("a/b; boundary=--=_x:1/2", ("a/b", {"boundary": "--=_x:1/2"})),
    ],
)
def test_parse_parameters(value: str, expected: tuple[str, dict[str, str]]) -> None:
    """A header is split into its first word and its parameters."""
    assert parse_parameters(value) == expected


@pytest.mark.parametrize(
    "charset", ["idna", "punycode", "unicode_escape", "Raw-Unicode-Escape", "undefined", "zip"]
)
def test_codecs_that_are_no_charsets(charset: str) -> None:
    """A Python codec that is not a charset is refused."""
    with pytest.raises(BadBody, match="is unknown; send UTF-8"):
        decode_text(b"a", f"text/plain; charset={charset}")
