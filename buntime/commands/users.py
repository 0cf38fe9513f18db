"""`buntime users`: who may sign in to apps by password, through the plugin that signs people in."""

from typing import Any
from urllib.parse import quote

from buntime.commands.arguments import Command, Parser, check_action
from buntime.commands.client import Api, connect
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import counted

_ACTIONS = ("list", "show", "invite", "set", "reset", "sign-out", "remove")
_PAGE = 1000  # of a list, at once


def parser() -> Parser:
    made = Parser(
        "buntime users list | show|invite|set|reset|sign-out|remove NAME [--FLAG VALUE...]",
        "List the users who may sign in to apps by password, invite one, change a user's "
        "roles, groups and more, have the user set a new password, sign a user out "
        "everywhere, or remove one. An invitation and a reset print a link, once: send it to "
        "the user. Needs the plugin authn.",
        examples=(
            "buntime users list",
            "buntime users invite ann --email ann@example.com --role admin",
            "buntime users set ann --role admin,editor --group staff",
            "buntime users set ann --disable",
            "buntime users reset ann",
            "buntime users sign-out ann",
        ),
    )
    made.add_words("WORD", "what to do; the name of a user")
    made.add_argument("--email", metavar="ADDRESS", help="the e-mail address of the user")
    made.add_argument("--full-name", metavar="TEXT", help="the name that apps and people see")
    made.add_argument("--role", action="append", metavar="A,B", help="roles, in place of the old")
    made.add_argument("--group", action="append", metavar="A,B", help="groups, likewise")
    made.add_argument("--disable", action="store_true", help="do not let the user in any more")
    made.add_argument("--enable", action="store_true", help="let the user in again")
    made.add_argument("--no-second-factor", action="store_true", help="remove the second factor")
    made.add_argument("--dry-run", action="store_true", help="check it, and change nothing")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    action, *names = command.words or ("",)
    check_action(command, action, _ACTIONS)
    if len(names) != (action != "list"):
        needs = "nothing more" if action == "list" else "the NAME of one user"
        raise UsageError(f"users {action} needs {needs} (see buntime users --help)")
    changes = _changes(command)
    if changes and action not in ("invite", "set"):
        raise UsageError(f"users {action}: flags that describe a user go with invite and set")
    if action == "set" and not changes:
        raise UsageError(
            "users set needs a flag that says what to change (see buntime users --help)"
        )
    api = connect(command, mode)
    if action == "list":
        _list(api, command)
    else:
        _one(api, command, action, names[0], changes)
    return 0


def _changes(command: Command) -> dict[str, Any]:
    args = command.args
    changes: dict[str, Any] = {}
    for flag, key in (("email", "email"), ("full_name", "fullName")):
        if args[flag] is not None:
            changes[key] = args[flag]
    for flag, key in (("role", "roles"), ("group", "groups")):
        if args[flag] is not None:
            changes[key] = args[flag].replace(",", " ").split()
    if args["disable"] and args["enable"]:
        raise UsageError("--disable and --enable cannot be combined")
    if args["disable"] or args["enable"]:
        changes["disabled"] = bool(args["disable"])
    if args["no_second_factor"]:
        changes["secondFactor"] = False
    return changes


def _one(api: Api, command: Command, action: str, name: str, changes: dict[str, Any]) -> None:
    path, dry = f"/api/users/{quote(name, safe='')}", True if command.args["dry_run"] else None
    if action == "show":
        answer = api.get(path)
    elif action == "invite":
        answer = api.post("/api/users", {"name": name, **changes}, dryRun=dry)
    elif action == "set":
        answer = api.ask("PATCH", path, changes, dryRun=dry)
    elif action == "reset":
        answer = api.post(f"{path}/reset", dryRun=dry)
    elif action == "sign-out":
        answer = api.delete(f"{path}/sessions", dryRun=dry)
    else:
        answer = api.delete(path, dryRun=dry)
    if command.args["json"]:
        print_json(answer)
        return
    would = "would be " if dry else ""
    if action == "remove":
        say(f"{answer['removed']} {would or 'is '}removed")
    elif action == "sign-out":
        say(f"{counted(answer['ended'], 'session')} of {name} {would or 'are '}ended")
    elif "link" in answer:
        say(f"until {answer['expiresAt']}, {answer['user']['name']} can set a password at")
        say(answer["link"])
    else:
        print_rows(_HEAD, [_row(answer["user"])])
        if action == "show":
            print_rows(
                ("SIGNED IN AT", "BY", "SINCE", "LAST SEEN"),
                [
                    (each["host"], each["provider"], each["createdAt"], each["seenAt"])
                    for each in answer["sessions"]
                ],
            )


def _list(api: Api, command: Command) -> None:
    users: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = api.get("/api/users", limit=_PAGE, cursor=cursor)
        users += page["users"]
        cursor = page["next"]
        if cursor is None:
            break
    if command.args["json"]:
        print_json({"users": users, "next": None})
    elif not users:
        say("no users; buntime users invite NAME makes one")
    else:
        print_rows(_HEAD, [_row(user) for user in users])


_HEAD = ("NAME", "E-MAIL", "ROLES", "GROUPS", "SIGNS IN")


def _row(user: dict[str, Any]) -> tuple[object, ...]:
    if user["disabled"]:
        how = "no: disabled"
    elif not user["hasPassword"]:
        how = "not yet: invited"
    else:
        how = "by password and code" if user["hasSecondFactor"] else "by password"
    lists = (", ".join(user["roles"]) or "-", ", ".join(user["groups"]) or "-")
    return (user["name"], user["email"] or "-", *lists, how)
