"""`buntime recycle APP[@VERSION]`: replace the running workers by fresh ones."""

from buntime.commands.arguments import Command, Parser, one_word
from buntime.commands.client import connect, name_in_path
from buntime.commands.tables import print_json, say
from buntime.core.settings.setting import Mode


def parser() -> Parser:
    made = Parser(
        "buntime recycle APP[@VERSION] [--worker] [--to WHERE]",
        "Replace the workers of an app, of all its versions or of one, with fresh ones. The "
        "old workers finish their requests, and no request waits.",
        examples=(
            "buntime recycle shop",
            "buntime recycle shop@1.2.0",
            "buntime recycle --worker w12",
        ),
    )
    made.add_words("APP", "the name of an app, with its version or without")
    made.add_argument("--worker", action="store_true", help="the argument is a worker's id")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    name = one_word(command, "the name of an app")
    kind = "workers" if command.args["worker"] else "apps"
    answer = connect(command, mode).post(f"/api/{kind}/{name_in_path(name)}/recycle")
    if command.args["json"]:
        print_json(answer)
    elif answer["recycled"]:
        say(f"{name}: replacing {', '.join(answer['recycled'])}")
    else:
        say(f"{name}: no workers to replace")
    return 0
