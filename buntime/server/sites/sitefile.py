"""A file of a static site as it is kept between requests: its forms, and how it is revalidated.

Small files are kept with their bytes, bigger ones without. Which form a request gets depends on its
Accept-Encoding or, for the page with a `<base href>`, on the mount.
"""

import os
from collections.abc import Sequence
from hashlib import blake2b

from buntime.core.http1.negotiation import CODING_SUFFIXES, wanted_codings
from buntime.core.sites.basehref import base_tag, insertion_point
from buntime.core.sites.cachecontrol import cache_control
from buntime.core.sites.mediatypes import HTML, content_type
from buntime.core.sites.publishing import is_published
from buntime.core.sites.representation import Fields, Representation, describe
from buntime.core.values.filetimes import is_settled
from buntime.core.values.tuples import NamedTuple
from buntime.server.sites.confined import open_inside, unavailable

# Up to this size a file's bytes are kept: a send from memory costs less than open and sendfile.
SMALL_MAX_BYTES = 64 * 1024
# Up to this size a page gets its <base href>: for that it must be in memory, once for each mount.
PAGE_MAX_BYTES = 2 * 1024 * 1024
# Mounts ("/shop", "/shop@1", "/shop@^1.2.0") a page is kept for; clients can invent many.
_BASES_MAX = 4

Signature = tuple[int, int, int, int, int]


class Form(NamedTuple):
    """One representation with its bytes, or, where `body` is None, the file to open for them."""

    representation: Representation
    body: bytes | None
    segments: tuple[bytes, ...]
    signature: Signature


class Policy(NamedTuple):
    """How the files of a site are served; `wall_s` is the current time in seconds since 1970.

    `site` and `code` are as for `is_published`.
    """

    private: bool
    wall_s: float
    site: tuple[str, ...] = ()
    code: bool = True
    more: Fields = ()  # header fields beside those that follow from the file


class _Page(NamedTuple):
    """An HTML page and the position of its <base href>."""

    data: bytes
    place: int
    cache_control: str
    more: Fields


class _Read(NamedTuple):
    """A file as it was found: its bytes if it is small, and its state."""

    segments: tuple[bytes, ...]
    data: bytes | None
    state: os.stat_result


class SiteFile:
    """All forms of one file. `checked_s` (monotonic) is when it was last compared to the disk."""

    __slots__ = ("_bases", "_forms", "_page", "_settled", "_watched", "checked_s", "held_bytes")

    def __init__(
        self,
        forms: dict[str, Form],
        page: _Page | None,
        watched: dict[bytes, Signature | None],
        settled: bool,
    ) -> None:
        self._forms = forms  # coding -> form; "" is the file as it is
        self._page = page  # set where a <base href> goes into it
        self._bases: dict[str, Form] = {}
        self._watched = watched
        self._settled = settled
        self.checked_s = 0.0
        self.held_bytes = sum(len(form.body or b"") for form in forms.values())

    def __repr__(self) -> str:
        return f"SiteFile({sorted(self._forms)}, {self.held_bytes} bytes)"

    def choose(self, accept_encoding: str, base: str) -> Form:
        """The form for a client that accepts these codings, below the mount `base`."""
        if self._page is not None:
            return self._bases.get(base) or self._inject(self._page, base)
        if len(self._forms) > 1:
            for coding in wanted_codings(accept_encoding):
                if coding in self._forms:
                    return self._forms[coding]
        return self._forms[""]

    def is_current(self) -> bool:
        """Whether the disk is unchanged. One stat for the file and one for each possible form."""
        return self._settled and all(
            _signature_at(path) == signature for path, signature in self._watched.items()
        )

    def _inject(self, page: _Page, base: str) -> Form:
        plain = self._forms[""]
        body = b"".join([page.data[: page.place], base_tag(base), page.data[page.place :]])
        made = describe(
            size=len(body),
            content_type=plain.representation.content_type,
            etag=_etag_of(body, ""),
            modified_s=plain.representation.validators.modified_s,
            cache_control=page.cache_control,
            more=page.more,
        )
        if len(self._bases) >= _BASES_MAX:
            del self._bases[next(iter(self._bases))]
        form = self._bases[base] = plain._replace(representation=made, body=body)
        return form


def load(
    folder: bytes, segments: Sequence[bytes], policy: Policy, *, inject_base: bool
) -> SiteFile | None:
    """Read the file at `segments` below `folder`; None if there is none that may be served.

    With `inject_base` an HTML page gets a `<base href>`, unless it has one or is too large.
    """
    path = b"/".join([folder, *segments])
    signature = _signature_at(path)
    if signature is None:
        return None
    paths = {coding: path + suffix.encode() for coding, suffix in CODING_SUFFIXES.items()}
    # Taken before the file is read, so that the next check sees a change in between.
    watched = {path: signature} | {each: _signature_at(each) for each in paths.values()}
    name = segments[-1].decode()
    kind = content_type(name)
    inject_base = inject_base and kind == HTML
    limit = PAGE_MAX_BYTES if inject_base else SMALL_MAX_BYTES
    found = _read(folder, segments, limit, policy)
    if found is None:
        return None
    caching = cache_control(name, kind, private=policy.private)
    page = None
    if inject_base and found.data is not None:
        place = insertion_point(found.data)
        page = None if place is None else _Page(found.data, place, caching, policy.more)
    sources = {"": found}
    if page is None:
        codings = {coding for coding, each in paths.items() if watched[each]}
        sources |= _coded(folder, found, codings, policy)
    forms = {
        coding: _form(source, coding, kind, caching, policy, varies=len(sources) > 1)
        for coding, source in sources.items()
    }
    now_ns = int(policy.wall_s * 1e9)
    settled = all(is_settled(source.state.st_ctime_ns, now_ns) for source in sources.values())
    return SiteFile(forms, page, watched, settled)


def _coded(folder: bytes, plain: _Read, codings: set[str], policy: Policy) -> dict[str, _Read]:
    """The files beside `plain` with these codings of it, if they are usable."""
    *above, name = plain.segments
    names = {coding: name + CODING_SUFFIXES[coding].encode() for coding in codings}
    found = {
        coding: _read(folder, [*above, coded], SMALL_MAX_BYTES, policy)
        for coding, coded in names.items()
    }
    return {
        coding: coded
        for coding, coded in found.items()
        if coded is not None and _is_usable(coded.state, plain.state)
    }


def signature_of(state: os.stat_result) -> Signature:
    """What changes when a file is written, replaced or moved."""
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _form(
    source: _Read, coding: str, kind: str, caching: str, policy: Policy, *, varies: bool
) -> Form:
    state, data = source.state, source.data
    size = state.st_size if data is None else len(data)
    modified_s = state.st_mtime_ns // 10**9
    made = describe(
        size=size,
        content_type=kind,
        coding=coding,
        etag=_etag(state, coding) if data is None else _etag_of(data, coding),
        # RFC 9110 8.8.2.1: no Last-Modified in the future. Times before 1970 are meaningless.
        modified_s=modified_s if 0 <= modified_s <= policy.wall_s else None,
        cache_control=caching,
        varies=varies,
        more=policy.more,
    )
    return Form(made, data, source.segments, signature_of(state))


def _etag(state: os.stat_result, coding: str) -> str:
    """The ETag of a file that is too large to be read for it."""
    suffix = f"-{coding}" if coding else ""
    return f'"{state.st_mtime_ns:x}-{state.st_size:x}{suffix}"'


def _etag_of(data: bytes, coding: str) -> str:
    """The ETag of bytes in memory: by content, not by time.

    Reproducible archives and images give all files the same time, and a page that names hashed
    files keeps its size from build to build. By time and size alone, clients would keep the old
    page, which names files that no longer exist. It is also the same on every machine.
    """
    suffix = f"-{coding}" if coding else ""
    return f'"{blake2b(data, digest_size=12).hexdigest()}{suffix}"'


def _is_usable(coded: os.stat_result, plain: os.stat_result) -> bool:
    """Whether a .br or .gz was made from the current file, and is not obviously cut off."""
    return coded.st_mtime_ns >= plain.st_mtime_ns and coded.st_size > 0


def _read(folder: bytes, segments: Sequence[bytes], limit: int, policy: Policy) -> _Read | None:
    """The file's state, and its bytes if there are at most `limit`."""
    opened = open_inside(folder, segments)
    if opened is None:
        return None
    try:
        # Where it really is: the path of a link does not show that it leads to .env or a manifest.
        real = [segment.decode("utf-8", "replace") for segment in opened.segments]
        if not is_published(real, site=policy.site, code=policy.code):
            return None
        data = _read_up_to(opened.fd, limit) if opened.stat.st_size <= limit else None
    except OSError as exc:
        raise unavailable(exc) from exc
    finally:
        os.close(opened.fd)
    return _Read(tuple(segments), data, opened.stat)


def _read_up_to(fd: int, limit: int) -> bytes | None:
    """All bytes of a file, None if there are more than `limit` (it has grown meanwhile)."""
    pieces = []
    while limit >= 0 and (piece := os.read(fd, limit + 1)):
        pieces.append(piece)
        limit -= len(piece)
    return None if limit < 0 else b"".join(pieces)


def _signature_at(path: bytes) -> Signature | None:
    try:
        return signature_of(os.stat(path))
    except OSError:
        return None
