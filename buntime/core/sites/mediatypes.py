"""Content types of a site's files, by their names."""

from buntime.sdk.mediatypes import BINARY, TEXT

DEFAULT_TYPE = "application/octet-stream"
HTML = "text/html; charset=utf-8"

_BY_EXTENSION = {**{ext: f"{kind}; charset=utf-8" for ext, kind in TEXT.items()}, **BINARY}
# Names that are fixed by whoever asks for them, and have no extension.
_BY_NAME = {"apple-app-site-association": "application/json; charset=utf-8"}


def content_type(name: str) -> str:
    """ "app.min.JS" -> "text/javascript; charset=utf-8"; unknown -> "application/octet-stream".

    With `nosniff`, an unknown type is offered as a download and never run as a page.
    """
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem:
        return _BY_NAME.get(name, DEFAULT_TYPE)
    return _BY_EXTENSION.get(extension.lower(), DEFAULT_TYPE)
