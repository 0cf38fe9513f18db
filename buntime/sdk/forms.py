"""Forms in request bodies: application/x-www-form-urlencoded and multipart/form-data.

The grammar of multipart (RFC 2046 5.1.1, RFC 7578), where `b` is the boundary:

    body      = [preamble CRLF] "--" b padding CRLF part *(CRLF "--" b padding CRLF part)
                CRLF "--" b "--" padding [CRLF epilogue]
    part      = head CRLF CRLF content
    padding   = *(SP / HTAB)

A part ends where CRLF "--" b comes next, found by `bytes.find`: content is never looked at line
by line, and is copied once. A form without parts is `"--" b "--"`, as browsers send it.

Loaded by the first `form()` or the first text with a charset.
"""

from __future__ import annotations

import codecs
import re

from buntime.sdk.fields import BadBody, File, Form, is_token, urlencoded_pairs

# As PHP and Django have it: far above what people fill in, far below what hurts.
MAX_FIELDS = 1000
# Three headers and a long file name fit ten times.
MAX_HEAD_BYTES = 16384

# RFC 2046 5.1.1: boundary := 0*69<bchars> bcharsnospace
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
# RFC 9110 5.6.6: parameters = *( OWS ";" OWS [ token "=" ( token / quoted-string ) ] )
# The part in quotes is written so that it is read in linear time.
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
# Codecs of Python that are no charsets; two of them take quadratic time.
_NO_CHARSETS = {"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"}


class BadForm(BadBody):
    """The body is not the form that its Content-Type tells of: answered with 400."""


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
        # From its last CRLF on: that of a part without content is the delimiter's too.
        content_end = data.find(delimiter, head_end + 2)
        if content_end < 0:
            raise BadForm(f"multipart: part {number} does not end; the body is cut off")
        head = _head(data[start:head_end], number)
        pairs.append(_field(head, data[head_end + 4 : content_end], number))
        at = content_end + len(delimiter)
        number += 1
    return Form(pairs)


def _first_delimiter(data: bytes, delimiter: bytes) -> int:
    """Return the index after the first delimiter, which needs no CRLF at the very start."""
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
    """Make a pair of a part: a File where it has a filename, else text."""
    where = f"multipart: part {number}"
    kind, parameters = parse_parameters(head.get("content-disposition", ""))
    if kind != "form-data" or "name" not in parameters:
        raise BadForm(f"{where} lacks a Content-Disposition of form-data with a name")
    if "filename*" in parameters:
        raise BadForm(f"{where} has filename*, which RFC 7578 4.2 forbids; send filename in UTF-8")
    if head.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise BadForm(f"{where} has a Content-Transfer-Encoding (RFC 7578 4.7); send it plain")
    name = _decoded(parameters["name"])
    if "filename" in parameters:
        content_type = head.get("content-type", "application/octet-stream")
        return name, File(_decoded(parameters["filename"]), content_type, content)
    try:
        return name, decode_text(content, head.get("content-type", ""))
    except BadBody as exc:
        raise BadForm(f"{where} ({name!r}): {exc}") from exc


def _decoded(name: str) -> str:
    return _ENCODED.sub(lambda match: chr(int(match[1], 16)), name) if "%" in name else name


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    """Split a header: `'form-data; Name="a;b"'` -> `("form-data", {"name": "a;b"})`.

    Names and the first word come in lower case. Raises BadForm for what is malformed or repeated.
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
    """Decode text by the charset of its Content-Type, UTF-8 where it has none, or raise BadBody."""
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
    # The flag is what `bytes.decode` goes by: "hex", "zip" and their like make no text.
    is_text: bool = getattr(codec, "_is_text_encoding", True)
    return is_text and codec.name.replace("-", "_") not in _NO_CHARSETS
