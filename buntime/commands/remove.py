"""`buntime remove APP@VERSION`: remove a version of an app from a runtime, or all with `--all`."""

import sys

from buntime.commands.activate import active_version, app_and_version
from buntime.commands.arguments import Command, Parser
from buntime.commands.client import Api, connect, name_in_path
from buntime.commands.tables import print_json, say
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.setting import Mode
from buntime.core.telemetry.records import escape


def parser() -> Parser:
    made = Parser(
        "buntime remove APP@VERSION | APP --all [--yes] [--to WHERE]",
        "Remove a version of an app from a runtime, if a deploy made it and it is not the "
        "active one; or all versions that deploys made. The app's data and secrets stay. On a "
        "terminal it asks first; elsewhere it needs --yes.",
        examples=(
            "buntime remove shop@1.2.0",
            "buntime remove shop 1.2.0 --yes --to prod",
            "buntime remove shop --all",
        ),
    )
    made.add_words("APP", "the name of an app and its version")
    made.add_argument(
        "--all", action="store_true", help="all versions that deploys made, the active one too"
    )
    made.add_argument("--yes", action="store_true", help="do not ask")
    made.add_argument("--dry-run", action="store_true", help="check it, and change nothing")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    name, version = app_and_version(command)
    if version is None and not command.args["all"]:
        raise UsageError("remove needs an app and its version, such as shop@1.2.0, or --all")
    if version is not None and command.args["all"]:
        raise UsageError("remove takes a version or --all, not both")
    api = connect(command, mode)
    is_dry = bool(command.args["dry_run"])
    what = name if version is None else f"{name}@{version}"
    tag = ""
    if not is_dry and not command.args["yes"]:
        active, tag = active_version(api, name)
        known = f"{active} is active"
        _ask(api, f"all of {what} ({known})" if version is None else f"{what} ({known})")
    path = f"/api/apps/{name_in_path(name)}"
    if version is not None:
        path += f"/versions/{name_in_path(version)}"
    answer = api.matching(tag).delete(path, dryRun=is_dry or None)
    if command.args["json"]:
        print_json(answer)
        return 0
    for each in answer.get("versions", [version]):
        say(f"{name}@{each}: {'would be removed' if is_dry else 'removed'}")
    return 0


def _ask(api: Api, what: str) -> None:
    """Raises CommandError if the answer is no."""
    if not sys.stdin.isatty():
        raise UsageError("remove asks on a terminal; elsewhere add --yes")
    sys.stderr.write(f"Remove {escape(what)} from {escape(api.target.name)}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("not_confirmed", "nothing was removed")
