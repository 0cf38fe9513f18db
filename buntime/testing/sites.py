"""Files of an app that the runtime sends by itself: a static site, or the folders of `static`."""

import os
from time import monotonic
from typing import NamedTuple

from buntime.core.apps.app import App
from buntime.core.apps.fileheaders import HeaderRules
from buntime.core.apps.mounts import mounted_at
from buntime.core.http1.head import Head
from buntime.server.sites.site import FilePart, Rules, StaticAnswer, StaticSite


class Found(NamedTuple):
    """What the files answer."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes


class Files:
    """The files that an app publishes; `is_all`: it is a site and nothing else."""

    def __init__(self, app: App) -> None:
        is_private = app.manifest.visibility != "public"
        manifest, folder, headers = app.manifest, str(app.dir), app.manifest.file_headers
        self.is_all = app.is_static
        self._sites = {  # by the path that they are at, below the base
            prefix: StaticSite(
                folder,
                f"{place}/index.html",
                inject_base=False,
                private=is_private,
                code=False,
                rules=Rules(spa=False, headers=HeaderRules(headers, below=prefix)),
                recheck_s=0,
            )
            for prefix, place in (() if app.is_static else manifest.mounts)
        }
        if app.is_static:
            self._sites[""] = StaticSite(
                folder,
                app.entrypoint,
                app.injects_base,
                private=is_private,
                code=manifest.entrypoint is not None,
                rules=Rules(manifest.spa, HeaderRules(headers)),
                recheck_s=0,
            )

    def answer(self, head: Head, base: str) -> Found | None:
        """Status, fields and body of the answer; None where the app has to give it.

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
    """A whole answer, of which files are closed again."""
    try:
        parts = found.body if isinstance(found.body, list) else [found.body]
        body = b"".join(
            os.pread(part.fd, part.length, part.offset) if isinstance(part, FilePart) else part
            for part in parts
        )
    finally:
        found.close()
    return Found(found.status, found.headers, body)
