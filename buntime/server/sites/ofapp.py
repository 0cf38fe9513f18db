"""The files that an app's manifest publishes: a whole static site, or the folders of `static`.

The runtime and `buntime.testing` both answer from these objects.
"""

from buntime.core.apps.app import App
from buntime.core.apps.fileheaders import HeaderRules
from buntime.server.sites.site import Rules, StaticSite


def site_of(app: App, *, recheck_s: float) -> StaticSite | None:
    """The site that the whole app is; None for an app with code.

    `recheck_s` is how long an answer may be out of date.
    """
    if not app.is_static:
        return None
    manifest = app.manifest
    return StaticSite(
        str(app.dir),
        app.entrypoint,
        app.injects_base,
        private=_is_private(app),
        code=manifest.entrypoint is not None,
        rules=Rules(manifest.spa, HeaderRules(manifest.file_headers)),
        recheck_s=recheck_s,
    )


def mounts_of(app: App, *, recheck_s: float) -> dict[str, StaticSite]:
    """The folders that the manifest of an app with code names, by their paths: {"/assets": …}.

    `recheck_s` is how long an answer may be out of date.
    """
    if app.is_static:
        return {}
    headers = app.manifest.file_headers
    return {
        prefix: StaticSite(
            str(app.dir),
            f"{folder}/index.html",
            inject_base=False,
            private=_is_private(app),
            code=False,
            rules=Rules(spa=False, headers=HeaderRules(headers, below=prefix)),
            recheck_s=recheck_s,
        )
        for prefix, folder in app.manifest.mounts
    }


def _is_private(app: App) -> bool:
    return app.manifest.visibility != "public"
