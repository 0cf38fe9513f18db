"""`buntime plugins install DIR|ARCHIVE [NAME]` and `remove NAME...`.

A folder is packed as in `buntime deploy`. Without NAME the plugin has the folder's name, or that of
the archive's file: `audit-1.2.0.tar.gz` is `audit`.
"""

import os
from collections.abc import Sequence

from buntime.commands.arguments import Command
from buntime.commands.client import Api
from buntime.commands.confirming import confirm
from buntime.commands.deploy import named_by_folder, print_notes
from buntime.commands.following import follow
from buntime.commands.packing import ARCHIVE_NAME, Archive, open_archive, pack, plan_archive
from buntime.commands.pluginoptions import path_of
from buntime.commands.progress import Bar, rounded
from buntime.commands.tables import print_json, say
from buntime.core.apps.router import is_app_name
from buntime.core.errors import UsageError
from buntime.core.values.wording import shown


def run_install(command: Command, api: Api, words: Sequence[str]) -> int:
    """Raises UsageError, ApiError."""
    if len(words) > 2:
        raise UsageError("plugins install takes a folder or an archive, and at most one name")
    path = words[0]
    if not os.path.exists(path):
        raise UsageError(f"{path} cannot be read: there is no such folder or archive")
    name = words[1] if len(words) > 1 else _name_of(path)
    if not is_app_name(name):
        raise UsageError(
            f"{shown(name)} is not a name for a plugin; give one after the folder or archive"
        )
    archive = _packed(path) if os.path.isdir(path) else open_archive(path)
    with archive.file:
        return _send(command, api, name, archive)


def _send(command: Command, api: Api, name: str, archive: Archive) -> int:
    as_json = bool(command.args["json"])
    if not as_json:
        say(f"plugin {name} to {api.target.name}: {rounded(archive.size_bytes)}")
    bar = Bar("sending", archive.size_bytes, is_quiet=as_json)
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(archive.size_bytes),
        "Content-Digest": archive.digest,
    }
    try:
        answer = api.put_stream(
            path_of(name),
            archive.file,
            headers,
            on_sent=bar.update,
            enabled=False if command.args["disabled"] else None,
            dryRun=command.args["dry_run"] or None,
        )
    finally:
        bar.done()
    return follow(api, answer, f"the installation of {name}", as_json=as_json)


def _name_of(path: str) -> str:
    if os.path.isdir(path):
        return named_by_folder(os.path.realpath(path)).app
    match = ARCHIVE_NAME.fullmatch(os.path.basename(path))
    return match[1] if match else ""


def _packed(folder: str) -> Archive:
    plan = plan_archive(folder)
    print_notes(plan)
    return pack(plan)


def run_remove(command: Command, api: Api, names: Sequence[str]) -> int:
    """Raises ApiError, CommandError."""
    for name in names:
        plugin = api.get(path_of(name))
        is_guard = plugin["enabled"] and plugin["guards"]
        if is_guard:
            confirm(command, f"what {name} guards will be open to all")
        is_dry = bool(command.args["dry_run"]) or None
        done = api.delete(path_of(name), confirm=name if is_guard else None, dryRun=is_dry)
        if command.args["json"]:
            print_json(done)
        else:
            say(f"{name}: {'removed' if done['removed'] else 'would be removed'}")
    return 0
