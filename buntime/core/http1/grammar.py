"""The grammar of HTTP that several modules share (RFC 9110 5.5 and 5.6), as patterns.

Each is written once, for text, and again as bytes for what is matched before it is decoded.
"""

TCHAR = r"!#$%&'*+\-.^_`|~0-9A-Za-z"  # stands inside brackets: rf"[{TCHAR}:]+"
TOKEN = rf"[{TCHAR}]+"
VALUE = r"[\t\x20-\x7e\x80-\xff]*"  # of a field: no control character but HTAB

TOKEN_BYTES = TOKEN.encode("ascii")
VALUE_BYTES = VALUE.encode("ascii")
