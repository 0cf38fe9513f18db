"""`buntime keys add|list|make|revoke`: who else may operate a runtime, and with which rights.

A key is printed once, alone on stdout, so that it can be piped to where it is needed; messages
about it go to stderr.
"""

import json
import secrets
import sys
import time
from typing import Any
from urllib.parse import quote

from buntime.commands.arguments import Command, Parser, check_action
from buntime.commands.client import Api, connect
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.access.keyring import IN_STATE
from buntime.core.access.keytext import RANDOM_BYTES, digest_of, make_key
from buntime.core.config.keysfile import parse_keys
from buntime.core.errors import ConfigError, UsageError
from buntime.core.settings.setting import Mode
from buntime.core.telemetry.records import escape
from buntime.core.values.moments import iso_moment
from buntime.core.values.units import BadValue, parse_duration

_ACTIONS = ("add", "list", "make", "revoke")
_MAKING = ("add", "make")
_PAGE = 1000  # of a list, at once


def parser() -> Parser:
    made = Parser(
        "buntime keys add|list|make|revoke [NAME] [--role ROLE] [--apps GLOB] ...",
        "Make a key for somebody or something that operates this runtime, list the keys, or "
        "revoke one. A key is printed only once, and cannot make one that is stronger than "
        "itself. `make` needs no runtime: it prints a key, and on stderr what to write into "
        "the file of RUNTIME_KEYS_FILE. Roles are viewer, deployer, operator and admin.",
        examples=(
            "buntime keys add laptop --role admin",
            "buntime keys add forge --role deployer --apps 'blog-*' --expires 90d > key.txt",
            "buntime keys add metrics --role apps:read --role logs:read",
            "buntime keys make ops --role operator",
            "buntime keys list",
            "buntime keys revoke forge",
        ),
    )
    made.add_words("WORD", "add, list, make or revoke; the name of a key")
    made.add_argument(
        "--role",
        action="append",
        metavar="ROLE",
        help="a role or a single right; may be given several times",
    )
    made.add_argument(
        "--apps", action="append", metavar="GLOB", help="for these apps, such as blog-* [all]"
    )
    made.add_argument("--expires", metavar="WHEN", help="90d, or 2027-01-31T12:00:00Z [never]")
    made.add_argument("--dry-run", action="store_true", help="check it, and make nothing")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    action, name = _read(command)
    if action not in _MAKING:
        for flag in ("role", "apps", "expires"):
            if command.args[flag]:
                raise UsageError(f"--{flag} is for keys add and keys make")
    if action == "make":
        _make(command, name)
        return 0
    api = connect(command, mode)
    if action == "add":
        _add(api, command, name)
    elif action == "list":
        _list(api, command)
    else:
        answer = api.delete(f"/api/keys/{quote(name)}", dryRun=_dry_run(command))
        if command.args["json"]:
            print_json(answer)
        else:
            say(f"the key {name} is {answer['standing']}")
    return 0


def _read(command: Command) -> tuple[str, str]:
    action, *rest = command.words or ("",)
    check_action(command, action, _ACTIONS)
    if len(rest) != (action != "list"):
        needs = "the NAME of one key" if action != "list" else "nothing more"
        raise UsageError(f"keys {action} needs {needs} (see buntime keys --help)")
    return action, "".join(rest)


def _dry_run(command: Command) -> bool | None:
    return True if command.args["dry_run"] else None


def _add(api: Api, command: Command, name: str) -> None:
    wanted = _wanted(command, "add", name)
    answer = api.post("/api/keys", wanted, dryRun=_dry_run(command))
    if command.args["json"]:
        print_json(answer)
        return
    until = f"until {answer['expires']}" if answer["expires"] else "for good"
    done = "would be" if answer["key"] is None else "is"
    about = (
        f"the key {name} {done} {', '.join(answer['roles'])} at {', '.join(answer['apps'])} {until}"
    )
    sys.stderr.write(escape(about) + "\n")
    if answer["key"] is not None:
        sys.stderr.write("it is shown only once:\n")
        sys.stderr.flush()
        say(answer["key"])


def _wanted(command: Command, action: str, name: str) -> dict[str, Any]:
    roles = _parts(command.args["role"])
    if not roles:
        raise UsageError(
            f"keys {action} needs a --role: viewer, deployer, operator, admin, or rights"
        )
    wanted: dict[str, Any] = {"name": name, "roles": roles}
    if command.args["apps"]:
        wanted["apps"] = _parts(command.args["apps"])
    if command.args["expires"]:
        wanted["expires"] = command.args["expires"]
    return wanted


def _make(command: Command, name: str) -> None:
    """A key for a file. An item for the file, in one line, is printed to stderr: JSON is YAML."""
    key, wanted = make_key(secrets.token_bytes(RANDOM_BYTES)), _wanted(command, "make", name)
    if "expires" in wanted and "-" not in wanted["expires"][1:]:
        try:
            wanted["expires"] = iso_moment(time.time() + parse_duration(wanted["expires"]))
        except BadValue as exc:
            raise UsageError(f"--expires: {exc}") from exc
    item = {"name": name, "sha256": digest_of(key).hex(), **wanted}
    line = f"- {json.dumps(item)}\n"
    try:
        parse_keys(line.encode(), "keys make", now=0.0)  # as the runtime will
    except ConfigError as exc:
        raise UsageError(str(exc)) from exc
    if command.args["json"]:
        print_json({"key": key, "item": item})
        return
    sys.stderr.write(line)
    sys.stderr.flush()
    say(key)


def _parts(given: str | None) -> list[str]:
    """`"viewer,data:read logs:read"`: also for a repeated flag."""
    return (given or "").replace(",", " ").split()


def _list(api: Api, command: Command) -> None:
    keys: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = api.get("/api/keys", limit=_PAGE, cursor=cursor)
        keys += page["keys"]
        cursor = page["next"]
        if cursor is None:
            break
    if command.args["json"]:
        print_json({"keys": keys, "next": None})
    elif not keys:
        say("no keys; buntime keys add NAME --role ROLE makes one")
    else:
        rows = [
            (
                key["name"],
                key["hint"],
                ",".join(key["roles"]),
                ",".join(key["apps"]),
                "" if key["origin"] == IN_STATE else key["origin"],
                key["standing"],
                key["expires"],
                key["lastUsed"],
            )
            for key in keys
        ]
        head = ("NAME", "KEY", "ROLES", "APPS", "FROM", "", "EXPIRES", "LAST USED")
        print_rows(head, rows)
