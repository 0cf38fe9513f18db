"""Asks for confirmation before doing something that others may not expect."""

import sys

from buntime.commands.arguments import Command
from buntime.core.errors import CommandError


def confirm(command: Command, what: str) -> None:
    """Ask on a terminal; elsewhere --yes is required. Raises CommandError."""
    if command.args["yes"] or command.args["dry_run"]:
        return
    if not sys.stdin.isatty():
        raise CommandError("not_confirmed", f"{what}; add --yes if that is meant")
    sys.stderr.write(f"{what}. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("not_confirmed", "nothing was changed")
