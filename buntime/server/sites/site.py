"""A static site: which answer a request for one of its files gets.

    site = StaticSite("/apps/site", index="index.html", inject_base=True)
    answer = site.answer("GET", "/app.js", headers, "/site", now_s)
    answer.status, answer.headers, answer.body      body: bytes, a part of an open file, or several
    answer.close()                                  when it is sent, or when it is given up

A warm answer of a small file touches no disk: the file is kept with its headers built, and
compared to the disk at most once in `recheck_s`. 7 us for 4 KiB and a browser's 14 header fields,
10 us more once a second; 29 us for a file that is opened for each answer (CPython 3.11).
"""

import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from buntime.core.access.paths import inner_path
from buntime.core.apps.fileheaders import NO_RULES, HeaderRules
from buntime.core.errors import ManifestError, ServerFault
from buntime.core.http1.negotiation import accepts_html
from buntime.core.sites.ranges import Span
from buntime.core.sites.representation import multipart, plan, single_part_headers
from buntime.core.sites.sitepath import (
    Asked,
    SitePath,
    check_method,
    folder_location,
    is_navigation,
    not_found,
    read_fields,
    split_path,
)
from buntime.core.values.tuples import NamedTuple
from buntime.server.sites.confined import open_inside
from buntime.server.sites.sitefile import Form, Policy, SiteFile, load, signature_of

# What a site may keep: files known, bytes of small ones, and paths known to have no file.
_FILES_MAX = 1024
_HELD_MAX_BYTES = 8 * 1024 * 1024
_MISSING_MAX = 1024
_MISSING_MAX_CHARS = 256  # longer ones are looked up each time: nobody requests them twice
# How often a file may change between being checked and being opened before we give up.
_ATTEMPTS = 3
_FOLDER_INDEX = "index.html"
_MISSING = "/404.html"
# Fields of its page that a 404 omits: it does not answer a condition or a range.
_OF_A_FILE = frozenset(("etag", "last-modified", "accept-ranges"))


class FilePart(NamedTuple):
    """`length` bytes from `offset` of an open file.

    If somebody truncates the file meanwhile, there is less to send: the sender must then end the
    connection, because Content-Length has been sent already.
    """

    fd: int
    offset: int
    length: int


Part = bytes | FilePart


@dataclass(slots=True)
class StaticAnswer:
    """An answer; the receiver owns the descriptor in its body and must call `close`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | FilePart | list[Part]

    def close(self) -> None:
        """Close the file, if there is one. Safe to call again."""
        if type(self.body) is bytes:
            return
        parts = self.body if isinstance(self.body, list) else [self.body]
        self.body = b""
        for fd in {part.fd for part in parts if isinstance(part, FilePart)}:
            os.close(fd)


class Rules(NamedTuple):
    """What a manifest says about files."""

    # The entrypoint answers for missing pages; None: unless there is a 404.html.
    spa: bool | None = None
    headers: HeaderRules = NO_RULES  # header fields for them


_BY_DEFAULT = Rules()


class StaticSite:
    """The files around an entrypoint, served below a mount.

    `folder` is the app's folder, and nothing outside of it is served, by whatever link. `index`
    is the entrypoint in it: with "dist/index.html" the site is what is in dist/. The entrypoint
    answers for "/" and for navigations to paths without a file; it and a 404.html alone get a
    `<base href>`, since the links of any other page are relative to where that page is. `private`
    keeps answers out of shared caches (a site that needs a key). `code`: Python's files are
    published as well, see core/sites/publishing.py. `recheck_s` is how long a file may be out of
    date; 0 compares each time. Raises ManifestError for an `index` outside the folder.
    """

    def __init__(
        self,
        folder: str,
        index: str = "index.html",
        inject_base: bool = True,
        *,
        private: bool = False,
        code: bool = True,
        rules: Rules = _BY_DEFAULT,
        recheck_s: float = 1.0,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        *above, name = index.split("/")
        if inner_path(index) != index or "\0" in index:
            raise ManifestError(
                f"{folder}: entrypoint {index!r} must be a file inside the app's folder, "
                'written like "dist/index.html"'
            )
        self._folder = os.fsencode(folder)
        self._above = tuple(segment.encode() for segment in above)
        self._entrypoint = name
        self._inject_base = inject_base
        self._private = private
        self._code = code
        self._rules = rules
        self._recheck_s = recheck_s
        self._wall_clock = wall_clock
        # The decoded path of a file ("/docs/index.html", never "/docs/") -> what is known of it.
        self._files: OrderedDict[str, SiteFile] = OrderedDict()
        self._held_bytes = 0
        self._missing: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"StaticSite({os.fsdecode(self._folder)!r}, {len(self._files)} files known)"

    def answer(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        base: str,
        now_s: float,
        *,
        query: str = "",
    ) -> StaticAnswer:
        """The answer to one request.

        `path` is the raw path behind `base` without its query, "" or "/docs/caf%C3%A9.html";
        `headers` are (lower-case name, value); `query` is kept where a folder is redirected.
        Raises ClientFault: 404, 405, 412, 416; and ServerFault(503) if files cannot be read.
        """
        check_method(method)
        request = read_fields(headers)
        # A path that needs no decoding is itself the key, if it names a file. Only checked paths
        # ever became keys.
        key = "" if "%" in path else self._key(path)
        file = self._known(key, now_s)
        if file is None:
            target = split_path(path or "/")
            if target is None:
                raise not_found()
            if not path or self._is_bare_folder(target, now_s):
                return _moved(folder_location(base, target, query))
            key, file = self._resolve(target, request, now_s)
            if file is None:
                return self._answer_missing(method, request, base, now_s)
        return self._send(method, request, key, file, base)

    def forget(self) -> None:
        """Drop all that is known, so that each file is read again."""
        self._files.clear()
        self._missing.clear()
        self._held_bytes = 0

    def _key(self, path: str) -> str:
        """The path of the file that a decoded path means: "/docs/" -> "/docs/index.html"."""
        if path == "/":
            return f"/{self._entrypoint}"
        return path + _FOLDER_INDEX if path[-1:] == "/" else path

    def _is_bare_folder(self, target: SitePath, now_s: float) -> bool:
        """Whether this is a folder with an index, requested without its slash."""
        if target.is_folder or self._find(target.key, now_s) is not None:
            return False
        return self._find(f"{target.key}/{_FOLDER_INDEX}", now_s) is not None

    def _resolve(
        self, target: SitePath, request: Asked, now_s: float
    ) -> tuple[str, SiteFile | None]:
        """The file that answers, with its key: the requested one, or the entrypoint."""
        key = self._key(target.key)
        file = self._find(key, now_s)
        if file is None and is_navigation(request, target):
            spa = (
                self._find(_MISSING, now_s) is None if self._rules.spa is None else self._rules.spa
            )
            if spa or not target.segments:
                key = self._key("/")
                file = self._find(key, now_s)
        return key, file

    def _answer_missing(self, method: str, request: Asked, base: str, now_s: float) -> StaticAnswer:
        """The site's own 404 page, for clients that accept a page. Raises ClientFault (404)."""
        page = self._find(_MISSING, now_s) if accepts_html(request.accept) else None
        if page is None:
            raise not_found()
        answer = self._send(method, request._replace(conditions={}), _MISSING, page, base)
        answer.status = 404
        answer.headers = [field for field in answer.headers if field[0] not in _OF_A_FILE]
        return answer

    def _known(self, key: str, now_s: float) -> SiteFile | None:
        """The kept file, if it was compared to the disk lately or is still the same."""
        file = self._files.get(key)
        if file is None:
            return None
        if now_s - file.checked_s >= self._recheck_s:
            if not file.is_current():
                self._drop(key)
                return None
            file.checked_s = now_s
        self._files.move_to_end(key)
        return file

    def _find(self, key: str, now_s: float) -> SiteFile | None:
        """The kept file, else the one on the disk."""
        file = self._known(key, now_s)
        if file is not None:
            return file
        missing_since_s = self._missing.get(key)
        if missing_since_s is not None and now_s - missing_since_s < self._recheck_s:
            return None
        file = self._load(key)
        if file is not None:
            file.checked_s = now_s
            self._keep(key, file)
        else:
            if len(self._missing) >= _MISSING_MAX:
                self._missing.clear()
            if len(key) <= _MISSING_MAX_CHARS:
                self._missing[key] = now_s
        return file

    def _load(self, key: str) -> SiteFile | None:
        segments = (*self._above, *(segment.encode() for segment in key[1:].split("/")))
        # Both answer for paths of any depth.
        inject_base = self._inject_base and key in (self._key("/"), _MISSING)
        site = tuple(os.fsdecode(segment) for segment in self._above)
        more = self._rules.headers.of(key)
        policy = Policy(self._private, self._wall_clock(), site, self._code, more)
        return load(self._folder, segments, policy, inject_base=inject_base)

    def _reload(self, key: str, stale: SiteFile) -> SiteFile:
        file = self._load(key)
        if file is None:
            raise not_found()
        file.checked_s = stale.checked_s
        self._keep(key, file)
        return file

    def _keep(self, key: str, file: SiteFile) -> None:
        if key in self._files:
            self._drop(key)
        self._files[key] = file
        self._held_bytes += file.held_bytes
        while len(self._files) > _FILES_MAX or self._held_bytes > _HELD_MAX_BYTES:
            self._drop(next(iter(self._files)))  # the one that was not requested for longest

    def _drop(self, key: str) -> None:
        self._held_bytes -= self._files.pop(key).held_bytes

    def _send(
        self, method: str, request: Asked, key: str, file: SiteFile, base: str
    ) -> StaticAnswer:
        for _ in range(_ATTEMPTS):
            form = file.choose(request.accept_encoding, base)
            status, fields, spans = plan(method, request.conditions, form.representation)
            if method == "HEAD" or spans == ():
                return StaticAnswer(status, list(fields), b"")
            if form.body is not None:
                return _answer(form, form.body, status, spans)
            opened = open_inside(self._folder, form.segments)
            if opened is not None:
                if signature_of(opened.stat) == form.signature:
                    return _answer(form, opened.fd, status, spans)
                os.close(opened.fd)
            file = self._reload(key, file)  # it has changed since the last check
        raise ServerFault(
            503,
            "file_changing",
            "the file changes faster than it can be sent; try again",
            headers=(("retry-after", "1"),),
        )


def _answer(
    form: Form, source: bytes | int, status: int, spans: tuple[Span, ...] | None
) -> StaticAnswer:
    """The whole form, or these ranges of it. `source`: its bytes, or the descriptor of its file."""
    made = form.representation
    if spans is None:
        return StaticAnswer(status, list(made.headers), _cut(source, Span(0, made.size)))
    if len(spans) == 1:
        headers = single_part_headers(made, spans[0])
        return StaticAnswer(status, headers, _cut(source, spans[0]))
    headers, heads, tail = multipart(made, spans, boundary=secrets.token_hex(16))
    parts: list[Part] = []
    for head, span in zip(heads, spans, strict=True):
        parts += [head, _cut(source, span)]
    return StaticAnswer(status, headers, [*parts, tail])


def _cut(source: bytes | int, span: Span) -> Part:
    if isinstance(source, int):
        return FilePart(source, span.offset, span.length)
    return source[span.offset : span.end]  # no copy where it is all of it


def _moved(location: str) -> StaticAnswer:
    """Redirect to the folder's own address; otherwise its page's relative links would be wrong.

    Browsers keep a 308 for good unless told otherwise, and a folder may become a file.
    """
    headers = [("location", location), ("content-length", "0"), ("cache-control", "no-cache")]
    return StaticAnswer(308, headers, b"")
