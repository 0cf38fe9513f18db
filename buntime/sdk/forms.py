"""Forms in request bodies: application/x-www-form-urlencoded and multipart/form-data.

The grammar of multipart (RFC 2046 5.1.1, RFC 7578), where `b` is the boundary:

    body      = [preamble CRLF] "--" b padding CRLF part *(CRLF "--" b padding CRLF part)
                CRLF "--" b "--" padding [CRLF epilogue]
    part      = head CRLF CRLF content
    padding   = *(SP / HTAB)

A part ends at the next CRLF "--" b, found by `bytes.find`: content is never read line by line, and
is copied once. A form without parts is `"--" b "--"`, as browsers send it.

A name comes as UTF-8 in quotes, as in RFC 7578, or as `filename*=UTF-8''na%C3%AFve.txt` (RFC 8187),
which senders must not use but some do, alone or in addition. If both are present they must agree;
otherwise a filter on the way may have checked a different name than the app sees.

Loaded by the first `form()` or the first text with a charset.
"""

from __future__ import annotations

import binascii
import codecs
import re

from buntime.sdk.fields import BadBody, File, Form, is_token, unquote, urlencoded_pairs

# As in PHP and Django: far more than people fill in, far less than what hurts.
MAX_FIELDS = 1000
# Ten times as much as three headers and a long file name need.
MAX_HEAD_BYTES = 16384

# RFC 2046 5.1.1: boundary := 0*69<bchars> bcharsnospace
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
# RFC 9110 5.6.6: parameters = *( OWS ";" OWS [ token "=" ( token / quoted-string ) ] )
# The quoted part is written so that it is matched in linear time.
_PARAMETER = re.compile(
    r"""(?:[ \t]*;)+[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)="""
    r"""(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^\s";,]+)))?[ \t]*""",
    re.DOTALL,
)
# Only these two: browsers send a backslash in a file name as it is (RFC 7578 has no rule).
_ESCAPED = re.compile(r'\\(["\\])')
# What browsers encode in the names of fields and files, and nothing else (HTML, "escape a
# multipart/form-data name").
_ENCODED = re.compile("%(22|0D|0A)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 8187 3.2.1: ext-value = charset "'" [ language ] "'" value-chars
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[A-Za-z0-9-]*'((?:[!-$&-~]|%[0-9A-Fa-f]{2})*)", re.I)
# RFC 2047 2, as .NET ("B") and Spring ("Q") send it instead of a name that is not ASCII.
_ENCODED_WORD = re.compile(r"=\?utf-8\?([bq])\?([!->@-~]*)\?=", re.I)
# Python codecs that are not charsets; two of them take quadratic time.
_NO_CHARSETS = {"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"}


class BadForm(BadBody):
    """The body is not the form that its Content-Type promises: answered with 400."""


def parse_form(data: bytes, content_type: str) -> Form:
    """Parse the body of a request by its Content-Type."""
    kind, parameters = parse_parameters(content_type)
    if kind == "application/x-www-form-urlencoded":
        return parse_urlencoded(data)
    if kind != "multipart/form-data":
        raise BadForm(
            f"the request's Content-Type is {content_type!r}; a form comes as "
            "application/x-www-form-urlencoded or multipart/form-data"
        )
    if "boundary" not in parameters:
        raise BadForm(f"the request's Content-Type {content_type!r} lacks the boundary")
    return parse_multipart(data, parameters["boundary"])


def parse_urlencoded(data: bytes) -> Form:
    """Parse `b"a=1&b=x+y"`. Raises BadForm for more than 1000 fields or what is not UTF-8."""
    if data.count(b"&") >= MAX_FIELDS:
        raise BadForm(f"the form has more than {MAX_FIELDS} fields")
    try:
        return Form(urlencoded_pairs(data, "strict"))
    except UnicodeDecodeError as exc:
        raise BadForm(f"a field of the form is not UTF-8: {exc.reason}") from exc


def parse_multipart(data: bytes, boundary: str) -> Form:
    """Parse a multipart/form-data body, whole. Raises BadForm, which says which part is wrong."""
    if not _BOUNDARY.fullmatch(boundary):
        raise BadForm(f"multipart: the boundary {boundary!r} is not one (RFC 2046 5.1.1)")
    delimiter = b"\r\n--" + boundary.encode("ascii")
    pairs: list[tuple[str, str | File]] = []
    at = _first_delimiter(data, delimiter)
    number = 1
    while (start := _part_start(data, at, number)) is not None:
        if number > MAX_FIELDS:
            raise BadForm(f"multipart: more than {MAX_FIELDS} parts")
        head_end = data.find(b"\r\n\r\n", start, start + MAX_HEAD_BYTES + 4)
        if head_end < 0:
            raise BadForm(
                f"multipart: part {number} has no end of its headers within {MAX_HEAD_BYTES} bytes"
            )
        # From its last CRLF on: for a part without content this is also the delimiter's.
        content_end = data.find(delimiter, head_end + 2)
        if content_end < 0:
            raise BadForm(f"multipart: part {number} does not end; the body is cut off")
        head = _head(data[start:head_end], number)
        pairs.append(_field(head, data[head_end + 4 : content_end], number))
        at = content_end + len(delimiter)
        number += 1
    return Form(pairs)


def _first_delimiter(data: bytes, delimiter: bytes) -> int:
    """Return the index after the first delimiter, which needs no CRLF at the start of the body."""
    if data.startswith(delimiter[2:]):
        return len(delimiter) - 2
    found = data.find(delimiter)
    if found < 0:
        raise BadForm("multipart: the boundary of the Content-Type is nowhere in the body")
    return found + len(delimiter)


def _part_start(data: bytes, at: int, number: int) -> int | None:
    """Return where the part after the delimiter starts, or None after the last delimiter."""
    is_last = data.startswith(b"--", at)
    line_end = data.find(b"\r\n", at, at + MAX_HEAD_BYTES)
    padding = data[at + 2 * is_last : line_end if line_end >= 0 else at + MAX_HEAD_BYTES]
    if padding.strip(b" \t"):
        raise BadForm(f"multipart: the delimiter before part {number} ends in {padding[:20]!r}")
    if is_last:
        return None
    if line_end < 0:
        raise BadForm(f"multipart: part {number} does not start; the body is cut off")
    return line_end + 2


def _head(raw: bytes, number: int) -> dict[str, str]:
    """Read the headers of a part, in UTF-8 as browsers send them; a repeated one is an error."""
    try:
        lines = raw.decode("utf-8").split("\r\n")
    except UnicodeDecodeError as exc:
        raise BadForm(f"multipart: the headers of part {number} are not UTF-8") from exc
    head: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not is_token(name) or _CONTROL.search(value) or name in head:
            raise BadForm(f"multipart: part {number} has the malformed header {line[:80]!r}")
        head[name] = value.strip(" \t")
    return head


def _field(head: dict[str, str], content: bytes, number: int) -> tuple[str, str | File]:
    """Make a pair from a part: a File if it has a filename, else text."""
    where = f"multipart: part {number}"
    kind, parameters = parse_parameters(head.get("content-disposition", ""))
    name = _name_in(parameters, "name", where)
    if kind != "form-data" or name is None:
        raise BadForm(f"{where} lacks a Content-Disposition of form-data with a name")
    if head.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise BadForm(f"{where} has a Content-Transfer-Encoding (RFC 7578 4.7); send it plain")
    filename = _name_in(parameters, "filename", where)
    if filename is not None:
        content_type = head.get("content-type", "application/octet-stream")
        return name, File(filename, content_type, content)
    try:
        return name, decode_text(content, head.get("content-type", ""))
    except BadBody as exc:
        raise BadForm(f"{where} ({name!r}): {exc}") from exc


def _name_in(parameters: dict[str, str], key: str, where: str) -> str | None:
    """Return the name of a field ("name") or a file ("filename"), in either form."""
    plain, extended = parameters.get(key), parameters.get(key + "*")
    if any(other.startswith(key + "*") and other != key + "*" for other in parameters):
        raise BadForm(f"{where} has its {key} in pieces (RFC 2231 3); send it whole")
    if extended is None:
        return None if plain is None else _decoded(plain)
    name = _read_extended(extended)
    if name is None:
        raise BadForm(f"{where} has a malformed {key}*, {extended[:80]!r} (RFC 8187)")
    if plain is not None and not (
        name in (plain, _unquoted(plain), _read_word(plain))
        or (key == "filename" and _stands_for(plain, name))
    ):
        raise BadForm(f"{where} has two names, {plain[:80]!r} and {name[:80]!r}; send one")
    return name


def _read_extended(value: str) -> str | None:
    """`"UTF-8''na%C3%AFve.txt"` -> "naïve.txt"; None if malformed."""
    match = _EXTENDED.fullmatch(value)
    if match is None:
        return None
    try:
        name = unquote(match[2].encode("ascii")).decode(match[1])
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(name) else name


def _unquoted(name: str) -> str:
    """What aiohttp means by an additional plain name: `"%C3%A4.txt"` -> "ä.txt"."""
    return unquote(name.encode("utf-8")).decode("utf-8", "replace")


def _read_word(name: str) -> str | None:
    """`"=?utf-8?B?w6QudHh0?="` -> "ä.txt"; None if it is not an encoded word."""
    match = _ENCODED_WORD.fullmatch(name)
    if match is None:
        return None
    try:
        if match[1] in "bB":
            return binascii.a2b_base64(match[2]).decode("utf-8")
        return binascii.a2b_qp(match[2], header=True).decode("utf-8")
    except ValueError:
        return None


def _stands_for(plain: str, name: str) -> bool:
    """Return whether it is a sender's fallback for clients that know only ASCII (RFC 6266 D).

    A file's kind goes by the end of its name, so that must be the same.
    """
    ends = [each.rpartition(".")[1:] if "." in each else () for each in (plain, name)]
    return plain.isascii() and not name.isascii() and ends[0] == ends[1]


def _decoded(name: str) -> str:
    return _ENCODED.sub(lambda match: chr(int(match[1], 16)), name) if "%" in name else name


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    """Split a header: `'form-data; Name="a;b"'` -> `("form-data", {"name": "a;b"})`.

    Names and the first word are in lower case. Raises BadForm for malformed or repeated ones.
    """
    kind, semicolon, _ = value.partition(";")
    parameters: dict[str, str] = {}
    at = len(kind) if semicolon else len(value)
    while at < len(value):
        match = _PARAMETER.match(value, at)
        name = match[1].lower() if match and match[1] else None
        if match is None or name in parameters:
            raise BadForm(f"malformed header {value[:80]!r} at {value[at : at + 40]!r}")
        if name is not None:
            quoted = match[2]
            parameters[name] = match[3] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        at = match.end()
    return kind.strip(" \t").lower(), parameters


def decode_text(data: bytes, content_type: str) -> str:
    """Decode text by the charset of its Content-Type, UTF-8 if it has none, or raise BadBody."""
    charset = parse_parameters(content_type)[1].get("charset", "utf-8")
    if not _is_charset(charset):
        raise BadBody(f"the charset {charset!r} is unknown; send UTF-8")
    try:
        return data.decode(charset)
    except UnicodeDecodeError as exc:
        raise BadBody(f"the text is not {charset}: {exc.reason} at byte {exc.start}") from exc


def _is_charset(name: str) -> bool:
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):  # ValueError: a name with a NUL
        return False
    # `bytes.decode` uses this flag: "hex", "zip" and the like do not produce text.
    is_text: bool = getattr(codec, "_is_text_encoding", True)
    return is_text and codec.name.replace("-", "_") not in _NO_CHARSETS
