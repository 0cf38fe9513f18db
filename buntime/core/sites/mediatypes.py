"""Content types of a site's files, by their names."""

from buntime.sdk.mediatypes import BINARY, TEXT

DEFAULT_TYPE = "application/octet-stream"
HTML = "text/html; charset=utf-8"

_BY_EXTENSION = {**{ext: f"{kind}; charset=utf-8" for ext, kind in TEXT.items()}, **BINARY}
# Fixed names without an extension, defined by the clients that request them.
_BY_NAME = {"apple-app-site-association": "application/json; charset=utf-8"}


def content_type(name: str) -> str:
    """ "app.min.JS" -> "text/javascript; charset=utf-8"; unknown -> "application/octet-stream".

    With `nosniff`, a browser offers an unknown type as a download and never runs it as a page.
    """
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem:
        return _BY_NAME.get(name, DEFAULT_TYPE)
    return _BY_EXTENSION.get(extension.lower(), DEFAULT_TYPE)
