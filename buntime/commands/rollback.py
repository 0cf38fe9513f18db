"""`buntime rollback APP`: make the previously active version active again."""

from buntime.commands.activate import active_version
from buntime.commands.arguments import Command, Parser, one_word
from buntime.commands.client import Streamed, connect, name_in_path
from buntime.commands.following import follow
from buntime.commands.tables import say
from buntime.core.settings.setting import Mode


def parser() -> Parser:
    made = Parser(
        "buntime rollback APP [--to WHERE]",
        "Make the version that was active before this one active again, once a worker has "
        "loaded it. Requests for a range do not get the version that was rolled back from. "
        "The command first prints which version is active now; if somebody else changes that "
        "meanwhile, nothing is done.",
        examples=("buntime rollback shop",),
    )
    made.add_words("APP", "the name of an app")
    made.add_argument("--dry-run", action="store_true", help="check it, and change nothing")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    name = one_word(command, "the name of an app")
    api, path = connect(command, mode), f"/api/apps/{name_in_path(name)}/rollback"
    active, tag = active_version(api, name)
    if active and not command.args["json"]:
        say(f"{name}: rolling back from {active}")
    lines = api.matching(tag).lines("POST", path, dryRun=command.args["dry_run"] or None)
    what = f"the rollback of {name}"
    return follow(api, Streamed("", lines), what, as_json=bool(command.args["json"]))
