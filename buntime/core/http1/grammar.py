r"""The grammar of HTTP that several modules share (RFC 9110 5.5 to 7.2, RFC 9112 3), as patterns.

Each is written once, as text; what is matched before it is decoded has the same as bytes.
"""

TCHAR = r"!#$%&'*+\-.^_`|~0-9A-Za-z"  # stands inside brackets: rf"[{TCHAR}:]+"
TOKEN = rf"[{TCHAR}]+"
VALUE = r"[\t\x20-\x7e\x80-\xff]*"  # of a field: no control character but HTAB
# uri-host [":" port], without the userinfo, path or list that others let through.
HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]+)(?::[0-9]{0,5})?"

TOKEN_BYTES = TOKEN.encode("ascii")
VALUE_BYTES = VALUE.encode("ascii")
# method SP request-target SP HTTP-version, each a group; single spaces and nothing else between.
REQUEST_LINE = rb"(" + TOKEN_BYTES + rb") ([!-~]+) HTTP/([0-9]\.[0-9])"
# field-name ":" field-value CRLF: no space before the colon, and no line that is folded.
FIELD_LINE = TOKEN_BYTES + rb":" + VALUE_BYTES + rb"\r\n"
