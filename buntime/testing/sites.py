"""Files of an app that the runtime sends by itself: a static site, or the folders of `static`."""

import os
from time import monotonic
from typing import NamedTuple

from buntime.core.apps.app import App
from buntime.core.apps.mounts import mounted_at
from buntime.core.http1.head import Head
from buntime.server.sites.ofapp import mounts_of, site_of
from buntime.server.sites.site import FilePart, StaticAnswer


class Found(NamedTuple):
    """The answers of the files."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes


class Files:
    """The files that an app publishes; `is_all`: it is a site and nothing else."""

    def __init__(self, app: App) -> None:
        site = site_of(app, recheck_s=0)
        self.is_all = site is not None
        # by the path that they are at, below the base
        self._sites = mounts_of(app, recheck_s=0) if site is None else {"": site}

    def answer(self, head: Head, base: str) -> Found | None:
        """Status, fields and body of the answer; None if the app has to answer.

        Raises HttpError, and ValueError for a target that is not below the base.
        """
        path = head.path
        if base and not (path == base or path.startswith(f"{base}/")):
            raise ValueError(f"{head.target} is not below the app's base, {base}")
        found = mounted_at(path[len(base) :], self._sites)
        if found is None:
            return None
        return _read(
            self._sites[found.prefix].answer(
                head.method,
                found.rest,
                head.headers,
                base + found.prefix,
                monotonic(),
                query=head.query,
            )
        )


def _read(found: StaticAnswer) -> Found:
    """A whole answer; its files are closed again."""
    try:
        parts = found.body if isinstance(found.body, list) else [found.body]
        body = b"".join(
            os.pread(part.fd, part.length, part.offset) if isinstance(part, FilePart) else part
            for part in parts
        )
    finally:
        found.close()
    return Found(found.status, found.headers, body)
