"""`buntime plugins`: the plugins in folders, or those of a runtime.

`list` and `check` look at folders, and need no runtime; `list` asks one if `--to` names it.
Everything else talks to a runtime. `reset` is done here if that would be one on this machine, and
none is running: a guard that does not start may be the reason.
"""

from buntime.commands import pluginasking, pluginfolders
from buntime.commands.arguments import Command, Parser, check_action
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode

_FOLDERS = ("list", "check")
ACTIONS = (*_FOLDERS, *pluginasking.ACTIONS)


def parser() -> Parser:
    made = Parser(
        "buntime plugins list|check [DIR...] [--FLAG VALUE...]\n"
        "       buntime plugins show|enable|disable|reload|reset|remove NAME...\n"
        "       buntime plugins options NAME [KEY=VALUE...]\n"
        "       buntime plugins install DIR|ARCHIVE [NAME]",
        "List the plugins in the folders DIR in the order of their start, or check their "
        "manifests, options, files and dependencies. The other actions ask the runtime of "
        "--to or of the login: list its plugins (with --to), show one, switch it on or off "
        "for good, reload its code, take back what operators have switched, or set options, "
        "which reloads it; KEY=- reads a value from stdin, which passwords require. install "
        "takes a folder or an archive (tar.gz or zip) and replaces a plugin of the same name "
        "that was installed before; if the new one does not serve, all stays as it was. "
        "remove removes an installed one. Exit code 1 if check finds a fault, or if a plugin "
        "does not serve after it was enabled, reloaded or installed.",
        examples=(
            "buntime plugins list",
            "buntime plugins check plugins",
            "buntime plugins list --to prod",
            "buntime plugins show audit",
            "buntime plugins disable audit --yes",
            "buntime plugins reload audit",
            "buntime plugins reset audit",
            "buntime plugins options audit level=debug",
            "buntime plugins options audit --unset level",
            "buntime plugins install ./audit --to prod",
            "buntime plugins install audit-1.2.0.tar.gz --disabled",
            "buntime plugins remove audit",
        ),
    )
    made.add_words("PLUGIN", "what to do, then folders of plugins [RUNTIME_PLUGIN_DIRS], or names")
    made.add_argument("--yes", action="store_true", help="disable or remove a guard without asking")
    made.add_argument(
        "--disabled", action="store_true", help="install it switched off, to set options first"
    )
    made.add_argument(
        "--unset",
        metavar="KEY",
        action="append",
        help="let the config file decide an option",
    )
    made.add_argument("--dry-run", action="store_true", help="check it, and change nothing")
    made.add_argument("--json", action="store_true", help="print the result as JSON")
    group = made.add_argument_group("which runtime", "As for other commands, see --to there.")
    group.add_argument("--to", metavar="WHERE", help="a URL, a login's name, or local")
    group.add_argument(
        "--insecure", action="store_true", help="send the key over http:// unencrypted"
    )
    made.add_settings()
    return made


def run(command: Command, mode: Mode) -> int:
    action, *words = command.words or ("",)
    check_action(command, action, ACTIONS)
    if action == "check" and command.args["to"]:
        raise UsageError("plugins check looks at folders on this machine; leave out --to")
    if action == "check" or (action == "list" and not command.args["to"]):
        return pluginfolders.run_in_folders(command, mode)
    return pluginasking.run_by_api(command, mode, action, words)
