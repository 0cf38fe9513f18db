"""A test's request, as bytes and header fields."""

import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from buntime.sdk.fields import URI, Headers

# A file to upload: its bytes; or (file name, bytes), or (file name, bytes, content type).
FileLike = bytes | tuple[str, bytes] | tuple[str, bytes, str]
Pairs = Mapping[str, Any] | Iterable[tuple[str, Any]]


def target_of(url: str, params: Pairs | None, base: str) -> str:
    """The request target: `"/cart"` below the base `"/shop"` -> `"/shop/cart"`.

    A whole URL is taken as it is. Raises ValueError for anything else.
    """
    if "://" in url:
        parts = urlsplit(url)
        path, query = parts.path or "/", parts.query
    else:
        if url and not url.startswith(("/", "?")):
            raise ValueError(f'a path begins with "/", but {url!r} does not')
        path, _, query = url.partition("?")
        path = base + path or "/"
    if params is not None:
        query = "&".join(filter(None, [query, urlencode(_pairs(params), doseq=True)]))
    safe = URI.replace("?", "").replace("#", "")
    target = quote(path, safe=safe)
    return f"{target}?{quote(query.partition('#')[0], safe=safe + '?')}" if query else target


def body_of(
    headers: Headers,
    *,
    content: bytes | str | None,
    json_: Any,
    data: Pairs | None,
    files: Mapping[str, FileLike] | None,
) -> bytes | None:
    """The requested body; adds its Content-Type to `headers` unless one is there.

    Raises TypeError if more than one kind of body is given.
    """
    given = [
        name
        for name, value in (("content", content), ("json", json_), ("data", data or files))
        if value is not None
    ]
    if len(given) > 1:
        raise TypeError(f"a request has one body; take one of {', '.join(given)}")
    if content is not None:
        return content.encode() if isinstance(content, str) else bytes(content)
    if json_ is not None:
        _usually(headers, "application/json")
        return json.dumps(json_).encode()
    if files:
        return _multipart(headers, data, files)
    if data is not None:
        _usually(headers, "application/x-www-form-urlencoded")
        return urlencode(_pairs(data), doseq=True).encode()
    return None


def _multipart(headers: Headers, data: Pairs | None, files: Mapping[str, FileLike]) -> bytes:
    boundary = secrets.token_hex(16)
    headers.set("content-type", f"multipart/form-data; boundary={boundary}")
    parts = []
    for name, value in _pairs(data or ()):
        parts.append((f'name="{_label(name)}"', "", str(value).encode()))
    for name, file in files.items():
        filename, content, *kind = (name, file) if isinstance(file, bytes) else file
        disposition = f'name="{_label(name)}"; filename="{_label(filename)}"'
        parts.append((disposition, str(kind[0]) if kind else "application/octet-stream", content))
    made = b""
    for disposition, kind_of_part, content in parts:
        line = f"content-type: {kind_of_part}\r\n" if kind_of_part else ""
        head = f"--{boundary}\r\ncontent-disposition: form-data; {disposition}\r\n{line}\r\n"
        made += head.encode() + content + b"\r\n"
    return made + f"--{boundary}--\r\n".encode()


def _label(text: str) -> str:
    """A name as browsers write it in a form."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _pairs(given: Pairs) -> list[tuple[str, Any]]:
    return list(given.items()) if isinstance(given, Mapping) else list(given)


def _usually(headers: Headers, kind: str) -> None:
    if "content-type" not in headers:
        headers.set("content-type", kind)
