r"""The grammar of HTTP that several modules share (RFC 9110 5.5 to 7.2, RFC 9112 3), as patterns.

Each is written once, as text; a bytes version exists where matching comes before decoding.
"""

TCHAR = r"!#$%&'*+\-.^_`|~0-9A-Za-z"  # for use inside brackets: rf"[{TCHAR}:]+"
TOKEN = rf"[{TCHAR}]+"
VALUE = r"[\t\x20-\x7e\x80-\xff]*"  # of a field: no control characters except HTAB
# uri-host [":" port], without the userinfo, path or list that others accept.
HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]+)(?::[0-9]{0,5})?"

TOKEN_BYTES = TOKEN.encode("ascii")
VALUE_BYTES = VALUE.encode("ascii")
# method SP request-target SP HTTP-version, each a group, with nothing but single spaces between.
REQUEST_LINE = rb"(" + TOKEN_BYTES + rb") ([!-~]+) HTTP/([0-9]\.[0-9])"
# field-name ":" field-value CRLF: no space before the colon, and no folded lines.
FIELD_LINE = TOKEN_BYTES + rb":" + VALUE_BYTES + rb"\r\n"
