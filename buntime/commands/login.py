"""`buntime login URL [--name NAME]`: keep the address of a runtime and a key for it.

The key comes from BUNTIME_KEY, else from stdin if that is not a terminal, else from a prompt that
does not show it. It is tried before it is stored; the host becomes the default. It is stored in the
system's keyring if there is one, see `keyrings`, else in the file.
"""

import getpass
import os
import sys
from dataclasses import replace

from buntime.commands import keyrings
from buntime.commands.apierrors import ApiError
from buntime.commands.arguments import Command, Parser, one_word
from buntime.commands.client import Api
from buntime.commands.logins import Login, read_logins, write_logins
from buntime.commands.tables import print_json, print_rows, say
from buntime.commands.targets import LOCAL, checked_key, remote, split_url
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import shown

_KEY_MAX_CHARS = 4096
_TRIED = "/api/workers"  # any page that needs a key


def parser() -> Parser:
    made = Parser(
        "buntime login [URL] [--name NAME] [--no-keyring] [--insecure]",
        "Keep the address of a runtime and a key for it, and use it from now on unless "
        "another one is named. The key comes from BUNTIME_KEY, from stdin, or from a prompt. "
        "It is tried first, and then kept in the system's keyring if Python's keyring is "
        "installed and finds one, else in a file that only you can read. Without URL the "
        "logins are listed.",
        examples=(
            "buntime login https://apps.example.com --name prod",
            "buntime login https://apps.example.com < key.txt",
        ),
    )
    made.add_words("URL", "https://HOST[:PORT][/PATH], where the runtime answers")
    made.add_argument("--name", metavar="WORD", help="what to call it [its host]")
    made.add_argument("--no-keyring", action="store_true", help="keep the key in the file")
    made.add_argument(
        "--insecure", action="store_true", help="send the key over http:// unencrypted"
    )
    made.add_argument("--json", action="store_true", help="print what was kept as JSON")
    return made


def run(command: Command, mode: Mode) -> int:
    if not command.words:
        return _list(as_json=bool(command.args["json"]))
    url = split_url(one_word(command, "the URL of a runtime"))
    text = f"{url.scheme}://{url.netloc.lower()}{url.path.rstrip('/')}"
    name = command.args["name"] or url.netloc.lower()
    if name == LOCAL or "/" in name or not name.isprintable() or " " in name:
        raise UsageError(f"{shown(name)} is not a name for a host; give another one with --name")
    logins = read_logins(os.environ)
    is_insecure = bool(command.args["insecure"])
    # Before asking for the key, because this may fail.
    remote(Login(text, "unknown yet", is_insecure))
    login = Login(text, _read_key(text), is_insecure)
    _try(login)
    keyring = "" if command.args["no_keyring"] else keyrings.keep(text, name, login.key)
    kept = replace(login, key="", in_keyring=True) if keyring else login
    before = logins.hosts.get(name)
    path = write_logins(logins.with_login(name, kept), os.environ)
    if before is not None and before.in_keyring and (before.url != text or not keyring):
        _forget(name, before)
    if command.args["json"]:
        print_json({"name": name, "url": text, "file": path, "keyring": keyring or None})
    else:
        place = f"{keyring}, the host in {path}" if keyring else path
        say(
            f"logged in to {text} as {name}; commands use it unless --to names another one "
            f"(kept in {place})"
        )
    return 0


def _forget(name: str, login: Login) -> None:
    """Remove the key that this login had in the keyring."""
    try:
        keyrings.remove(login.url, name)
    except CommandError as exc:
        sys.stderr.write(
            f"buntime: warning: the previous key is still in the keyring: {exc.message}\n"
        )


def _try(login: Login) -> None:
    """Check that the key opens anything. Raises ApiError if not."""
    try:
        Api(remote(login)).get(_TRIED)
    except ApiError as exc:
        # A key may be right, and not for this page.
        if exc.status != 403 or exc.body is None or exc.code != "no_right":
            raise


def _read_key(url: str) -> str:
    if text := os.environ.get("BUNTIME_KEY", ""):
        return checked_key(text, "BUNTIME_KEY")
    if sys.stdin.isatty():
        text = getpass.getpass(f"Key for {url}: ")
    else:
        text = sys.stdin.readline(_KEY_MAX_CHARS)
    if not text.strip():
        raise UsageError(
            "there is no key: type it, pipe it into this command, or set BUNTIME_KEY; "
            "buntime keys add makes one on the host"
        )
    return checked_key(text, "what was typed" if sys.stdin.isatty() else "stdin")


def _list(*, as_json: bool) -> int:
    logins = read_logins(os.environ)
    if as_json:
        hosts = [
            {"name": name, "url": login.url, "default": name == logins.default}
            for name, login in logins.hosts.items()
        ]
        print_json({"hosts": hosts})
    elif not logins.hosts:
        say("no logins; buntime login URL makes one")
    else:
        rows = [
            (name, login.url, "default" if name == logins.default else "")
            for name, login in sorted(logins.hosts.items())
        ]
        print_rows(("NAME", "URL", ""), rows)
    return 0
