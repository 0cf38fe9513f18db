"""Files of an app that the runtime sends by itself: a static site, or the folders of `static`."""

import os
from time import monotonic

from buntime.core.apps.app import App
from buntime.core.apps.fileheaders import HeaderRules
from buntime.core.apps.mounts import mounted_at
from buntime.core.errors import HttpError
from buntime.core.http1.errorpage import render_error
from buntime.sdk.fields import Headers
from buntime.server.sites.site import FilePart, Rules, StaticAnswer, StaticSite
from buntime.testing.answer import Answer


class Files:
    """The files that an app publishes; `is_all`: it is a site and nothing else."""

    def __init__(self, app: App) -> None:
        manifest, folder, headers = app.manifest, str(app.dir), app.manifest.file_headers
        self.is_all = app.is_static
        self._sites = {  # by the path that they are at, below the base
            prefix: StaticSite(
                folder,
                f"{place}/index.html",
                inject_base=False,
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
                code=manifest.entrypoint is not None,
                rules=Rules(manifest.spa, HeaderRules(headers)),
                recheck_s=0,
            )

    def answer(self, method: str, target: str, headers: Headers, base: str) -> Answer | None:
        """The answer to a request, None where the app has to give it; errors as a client sees them.

        Raises ValueError for a target that is not below the base.
        """
        path, _, query = target.partition("?")
        if base and not (path == base or path.startswith(f"{base}/")):
            raise ValueError(f"{target} is not below the app's base, {base}")
        found = mounted_at(path[len(base) :], self._sites)
        if found is None:
            return None
        try:
            return _read(
                self._sites[found.prefix].answer(
                    method,
                    found.rest,
                    headers.items(),
                    base + found.prefix,
                    monotonic(),
                    query=query,
                )
            )
        except HttpError as exc:
            accept = headers.get("accept", "")
            fields, body = render_error(exc, "test-0", accept=accept, shows_detail=True)
            return Answer(exc.status, Headers(fields), body)


def _read(found: StaticAnswer) -> Answer:
    """A whole answer, of which files are closed again."""
    try:
        parts = found.body if isinstance(found.body, list) else [found.body]
        body = b"".join(
            os.pread(part.fd, part.length, part.offset) if isinstance(part, FilePart) else part
            for part in parts
        )
    finally:
        found.close()
    return Answer(found.status, Headers(found.headers), body)
