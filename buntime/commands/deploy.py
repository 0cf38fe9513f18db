"""`buntime deploy [DIR|ARCHIVE]`: packs a folder, sends it to a runtime, and shows how that goes.

Its name and version come from flags, else from the folder: `shop`, `@acme/shop`, `shop@1.2.0` and
`shop/1.2.0`, or from the archive, `shop-1.2.0.tar.gz`. Without a version, the highest one of that
app on the runtime is increased by one, `1.2.3` -> `1.2.4`; if the active version has this content
already, there is no new one.
"""

import os
import re
import sys

from buntime.commands.apierrors import ApiError
from buntime.commands.arguments import Command, Parser
from buntime.commands.client import Api, connect, name_in_path
from buntime.commands.following import follow
from buntime.commands.packing import ARCHIVE_NAME, Archive, Plan, open_archive, pack, plan_archive
from buntime.commands.progress import Bar, rounded
from buntime.commands.tables import say
from buntime.core.apps.router import is_app_name
from buntime.core.apps.versions import is_version, sort_key
from buntime.core.deploys.names import preview_version
from buntime.core.errors import ClientFault, UsageError
from buntime.core.settings.setting import Mode
from buntime.core.telemetry.records import escape
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import counted, shown

_FIRST = "1.0.0"
_RELEASE = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)")
_LARGE_BYTES = 50 << 20  # from here on the largest files are named
_NAMED = 10  # left-out files


class Named(NamedTuple):
    """Which app, and which version of it, if known."""

    app: str
    version: str | None


def parser() -> Parser:
    made = Parser(
        "buntime deploy [DIR|ARCHIVE] [--app NAME] [--version VERSION] [--to WHERE]",
        "Pack the folder DIR, or the working folder, and deploy it: the new version serves "
        "once a worker has loaded it; if it does not load, the version before it goes on "
        "serving. Without a version, nothing is done if the active one has this content already. "
        "Files that .gitignore and .buntimeignore name are left out, and so are "
        "environments, history, and files that look like secrets. An archive (tar.gz or zip) is "
        "sent as it is. Exit code 1 if the deploy fails, 3 if no runtime can be reached, 4 if it "
        "is not allowed.",
        examples=(
            "buntime deploy",
            "buntime deploy apps/shop --version 1.2.0 --to prod",
            "buntime deploy shop-1.2.0.tar.gz",
            "buntime deploy --preview pr-12 --ttl 3d",
            "BUNTIME_KEY=... buntime deploy --to https://apps.example.com --json",
        ),
        has_version=False,
    )
    made.add_words("DIR", "the folder of the app, or an archive of it [.]")
    made.add_argument("--app", metavar="WORD", help="its name [that of the folder]")
    made.add_argument(
        "--version", dest="release", metavar="VERSION",
        help="its version [that of the folder, else the one after the highest at the runtime]",
    )  # fmt: skip
    made.add_argument("--preview", metavar="WORD", help="a version that is never active: pr-12")
    made.add_argument("--ttl", metavar="DURATION", help="how long a preview stays")
    made.add_argument("--replace", action="store_true", help="replace the same version")
    made.add_argument("--dry-run", action="store_true", help="check it, and change nothing")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    if len(command.words) > 1:
        raise UsageError("deploy takes one folder, or one archive (see buntime deploy --help)")
    args = command.args
    if args["ttl"] and not args["preview"]:
        raise UsageError("--ttl is for a preview (--preview NAME)")
    path = command.words[0] if command.words else "."
    named = _named(command, _named_by_path(path))
    api = connect(command, mode)
    plan = None
    if os.path.isdir(path):
        plan = plan_archive(path)
        print_notes(plan)
    if_changed = named.version is None
    version = named.version or _next_version(api, named.app)
    archive = open_archive(path) if plan is None else pack(plan)
    with archive.file:
        named = Named(named.app, version)
        return _send(command, api, named, plan, archive, if_changed=if_changed)


def _named_by_path(path: str) -> Named:
    """By the folder, or the archive. Raises UsageError where it is neither."""
    if os.path.isdir(path):
        return named_by_folder(os.path.realpath(path))
    match = ARCHIVE_NAME.fullmatch(os.path.basename(path))
    if os.path.isfile(path) and match is None:
        raise UsageError(
            f"{path} is no folder, nor an archive (.tar.gz, .tgz or .zip); name the folder of the "
            "app: buntime deploy apps/shop"
        )
    if not os.path.exists(path) or match is None:
        raise UsageError(
            f"there is no folder {path}, nor such an archive; name the folder of the app: buntime "
            "deploy apps/shop"
        )
    version = match[2]
    return Named(match[1], version if version and is_version(version) else None)


def _send(
    command: Command,
    api: Api,
    named: Named,
    plan: Plan | None,
    archive: Archive,
    *,
    if_changed: bool,
) -> int:
    args = command.args
    as_json = bool(args["json"])
    what = f"{named.app}@{named.version}"
    if not as_json:
        size = rounded(archive.size_bytes)
        if plan is not None:
            files = counted(plan.count, "file")
            size = f"{files}, {rounded(plan.size_bytes)}, packed {size}"
        say(f"{what} to {api.target.name}: {size}")
    bar = Bar("sending", archive.size_bytes, is_quiet=as_json)
    headers = {
        "Content-Type": "application/gzip",
        "Content-Length": str(archive.size_bytes),
        "Content-Digest": archive.digest,
    }
    try:
        answer = api.put_stream(
            f"/api/apps/{name_in_path(named.app)}/versions/{name_in_path(named.version or '')}",
            archive.file,
            headers,
            on_sent=bar.update,
            replace=args["replace"] or None,
            ifChanged=if_changed or None,
            dryRun=args["dry_run"] or None,
            preview=args["preview"],
            ttl=args["ttl"],
        )
    finally:
        bar.done()
    return follow(api, answer, f"the deploy of {what}", as_json=as_json, app=named.app)


def _named(command: Command, by_path: Named) -> Named:
    """By flags, else by the path. Raises UsageError if that is not a valid name or version."""
    app, version = command.args["app"], command.args["release"]
    if app is None or version is None:
        version = version or (by_path.version if app in (None, by_path.app) else None)
        app = app or by_path.app
    if not is_app_name(app):
        raise UsageError(
            f"{shown(app)} is not a name for an app; give one with --app, such as shop"
        )
    if preview := command.args["preview"]:
        if command.args["release"]:
            raise UsageError("--version and --preview: a preview is a version of its own; give one")
        try:
            version = preview_version(preview)
        except ClientFault as exc:
            raise UsageError(f"--preview: {exc}") from None
    if version is not None and not is_version(version):
        raise UsageError(f"{shown(version)} is not a version; write one such as 1.2.0")
    return Named(app, version)


def named_by_folder(path: str) -> Named:
    """`"/srv/@acme/shop/1.2.0"` -> ("@acme/shop", "1.2.0"); `"/src/shop"` -> ("shop", None)."""
    above, name = os.path.split(path)
    version = None
    if is_version(name) and name[0].isdigit():
        version = name
        above, name = os.path.split(above)
    elif "@" in name[1:]:
        name, _, version = name.rpartition("@")
    scope = os.path.basename(above)
    return Named(f"{scope}/{name}" if scope.startswith("@") else name, version)


def _next_version(api: Api, app: str) -> str:
    """The version after the highest release of the app on the runtime."""
    try:
        answer = api.get(f"/api/apps/{name_in_path(app)}")
    except ApiError as exc:
        if exc.status == 404:
            return _FIRST
        raise
    versions = [str(each["version"]) for each in answer["versions"] if each["version"]]
    releases = [each for each in versions if _RELEASE.fullmatch(each)]
    if not releases:
        return _FIRST
    major, minor, patch = max(releases, key=sort_key).split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def print_notes(plan: Plan) -> None:
    """What may surprise somebody, on stderr, because stdout is also read by programs."""
    if plan.secrets:
        _note(
            f"left out because they look like secrets: {_some(plan.secrets)}; give an app a "
            "secret with buntime secrets set, or include a file by a line !NAME in "
            ".buntimeignore"
        )
    if plan.data:
        _note(
            f"packed, though they look like what a program has written: {_some(plan.data)}; "
            "name what does not belong to the code in .buntimeignore, or by a line !NAME what "
            "does; what an app writes belongs in APP_DATA_DIR (docs/manifest.md#data)"
        )
    if plan.others:
        _note(f"left out because they are not regular files: {_some(plan.others)}")
    if plan.size_bytes > _LARGE_BYTES:
        sizes = (f"{entry.name} {rounded(entry.size)}" for entry in plan.largest(3))
        _note(f"{rounded(plan.size_bytes)} in all; the largest: {', '.join(sizes)}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _note(text: str) -> None:
    sys.stderr.write(f"buntime: {escape(text)}\n")
