"""`buntime caches list|purge`: a runtime's caches, and how to empty them."""

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import connect
from buntime.commands.progress import rounded
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode

_ACTIONS = ("list", "purge")


def parser() -> Parser:
    made = Parser(
        "buntime caches list | purge [CACHE...] [--dry-run] [--to WHERE]",
        "List the caches of a runtime and what a purge would remove, or purge all of them or "
        "those that are named: verdicts of plugins, what interpreters reported about "
        "themselves, and environments of versions that are gone. A purge ends nothing that "
        "serves.",
        examples=(
            "buntime caches list",
            "buntime caches purge --dry-run",
            "buntime caches purge environments",
        ),
    )
    made.add_words("WORD", "list, or purge and the names of caches")
    made.add_argument(
        "--dry-run", action="store_true", help="show what would go, and change nothing"
    )
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    action, *names = command.words or ("",)
    if action not in _ACTIONS or (action == "list" and names):
        raise UsageError("caches needs list, or purge and names (see buntime caches --help)")
    api = connect(command, mode)
    if action == "list":
        answer = api.get("/api/caches")
        rows = [
            (each["name"], each["entries"], rounded(each["bytes"]), each["meaning"])
            for each in answer["caches"]
        ]
    else:
        is_dry = bool(command.args["dry_run"]) or None
        answer = api.post("/api/caches/purge", {"caches": names} if names else {}, dryRun=is_dry)
        rows = [
            (each["name"], each["entries"], rounded(each["bytes"]), "") for each in answer["purged"]
        ]
    if command.args["json"]:
        print_json(answer)
        return 0
    print_rows(("CACHE", "ENTRIES", "SIZE", ""), rows)
    if action == "purge":
        words = "would be freed" if answer["isDryRun"] else "freed"
        say(f"{rounded(answer['freedBytes'])} {words}")
    return 0
