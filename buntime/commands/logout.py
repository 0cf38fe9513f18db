"""`buntime logout [NAME|URL]`: forget the key of a host, also in the system's keyring.

The key itself stays valid.
"""

import os

from buntime.commands import keyrings
from buntime.commands.arguments import Command, Parser, one_word
from buntime.commands.logins import read_logins, write_logins
from buntime.commands.tables import print_json, say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import shown


def parser() -> Parser:
    made = Parser(
        "buntime logout [NAME|URL]",
        "Forget a host and its key; without a name, the default one. The key itself stays valid "
        "until it is revoked on the host (buntime keys revoke).",
        examples=("buntime logout prod",),
    )
    made.add_words("LOGIN", "the name or URL of a login")
    made.add_argument("--json", action="store_true", help="print what was forgotten as JSON")
    return made


def run(command: Command, mode: Mode) -> int:
    logins = read_logins(os.environ)
    where = one_word(command, "one name or URL") if command.words else logins.default
    known = logins.named(where.rstrip("/"))
    if known is None:
        there = f"; there are {', '.join(sorted(logins.hosts))}" if logins.hosts else ""
        raise UsageError(f"there is no login {shown(where)}{there}" if where else "no login to end")
    name, login = known
    if login.in_keyring:
        keyrings.remove(login.url, name)  # before the host, so that it can be tried again
    write_logins(logins.without(name), os.environ)
    if command.args["json"]:
        print_json({"name": name, "url": login.url})
    else:
        say(f"logged out of {name} ({login.url})")
    return 0
