"""How releases are named on disk, and which names the API accepts.

.releases/shop/1.2.0-3f2a81c09d4e/           the files of a release, where they stay
.releases/@acme+blog/1.2.0-3f2a81c09d4e/     no name of an app has a "+"
.releases/shop/1.2.0-3f2a81c09d4e.json       what is known about it
.releases/shop/1.2.0-3f2a81c09d4e.lock       while it is unfinished
"""

from buntime.core.apps.app import RELEASES
from buntime.core.apps.grants import PREVIEW_VERSION
from buntime.core.apps.router import RESERVED, is_app_name
from buntime.core.apps.versions import LATEST, is_version
from buntime.core.errors import ClientFault
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown

RECORD = ".json"
LOCK = ".lock"
WITHHELD = "withheld"  # the versions that ranges do not choose, one per line

_DIGEST_CHARS = 12  # of 64: only has to tell two contents of one version apart
_FOLDER = regex(rf"(.+)-([0-9a-f]{{{_DIGEST_CHARS}}})")
_PREVIEW = regex(r"[0-9A-Za-z][0-9A-Za-z-]{0,39}")


class Release(NamedTuple):
    """One content of one version of an app."""

    app: str
    version: str
    digest: str  # SHA-256 of its archive, in hex

    @property
    def folder(self) -> str:
        """Its folder, below that of its app: "1.2.0-3f2a81c09d4e"."""
        return f"{self.version}-{self.digest[:_DIGEST_CHARS]}"

    @property
    def path(self) -> str:
        """Its path, below the worker folder: ".releases/shop/1.2.0-3f2a81c09d4e"."""
        return f"{RELEASES}/{folder_of_app(self.app)}/{self.folder}"


def folder_of_app(name: str) -> str:
    """`"@acme/blog"` -> "@acme+blog"."""
    return name.replace("/", "+")


def app_of_folder(folder: str) -> str:
    """`"@acme+blog"` -> "@acme/blog"."""
    return folder.replace("+", "/")


def split_folder(folder: str) -> tuple[str, str] | None:
    """`"1.2.0-3f2a81c09d4e"` -> ("1.2.0", "3f2a81c09d4e"); None for anything else."""
    match = _FOLDER.fullmatch(folder)
    return (match[1], match[2]) if match and is_version(match[1]) else None


def link_target(release: Release) -> str:
    """The target of the link `shop/1.2.0`: "../.releases/shop/1.2.0-3f2a81c09d4e".

    Relative, so that the worker folder can be moved. For "@acme/shop" it has one level more.
    """
    return f"{'../' * (release.app.count('/') + 1)}{release.path}"


def flat_link_target(release: Release) -> str:
    """The same for a link beside the app's folder, `shop@1.2.0`."""
    return f"{'../' * release.app.count('/')}{release.path}"


def leads_to(target: str) -> str | None:
    """The release's folder that a link leads to: "1.2.0-3f2a81c09d4e"; None if it leads to none."""
    parts = target.rsplit("/", 3)
    is_ours = len(parts) >= 3 and parts[-3].rpartition("/")[2] == RELEASES
    return parts[-1] if is_ours and split_folder(parts[-1]) else None


def check_names(app: str, version: str) -> None:
    """Raises ClientFault (400) where an app or version of this name cannot be deployed."""
    if not is_app_name(app):
        raise ClientFault(
            400,
            "bad_app_name",
            f"{shown(app)} is not the name of an app; use letters, digits and ._~-, "
            "like shop or @acme/shop",
        )
    if version == LATEST or not is_version(version):
        raise ClientFault(
            400,
            "bad_version",
            f"{shown(version)} is not a version; write one like 1.2.0 or 1.2.0-rc.1 "
            "(what is deployed last becomes latest)",
        )


def check_unreserved(app: str) -> None:
    """Raises ClientFault (400) if the runtime itself answers where the app would be."""
    if app in RESERVED:
        raise ClientFault(
            400,
            "bad_app_name",
            f"/{app} is the runtime's own path, so no request would reach the app; deploy it under "
            "another name: buntime deploy --app NAME",
        )


def preview_version(name: str) -> str:
    """`"pr-12"` -> "0.0.0-preview.pr-12". Raises ClientFault (400) for what cannot be one."""
    version = f"{PREVIEW_VERSION}{name}"
    if not _PREVIEW.fullmatch(name) or not is_version(version):
        raise ClientFault(
            400,
            "bad_preview_name",
            f"{shown(name)} is not the name of a preview; use up to 40 letters, digits and -, "
            "like pr-12",
        )
    return version


def is_preview(version: str | None) -> bool:
    """Whether this is the version of a preview."""
    return version is not None and version.startswith(PREVIEW_VERSION)
