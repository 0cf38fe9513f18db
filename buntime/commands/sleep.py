"""`buntime sleep APP[@VERSION]`: end the idle workers of an app; the next request wakes it."""

from buntime.commands.arguments import Command, Parser, one_word
from buntime.commands.client import connect, name_in_path
from buntime.commands.tables import print_json, say
from buntime.core.settings.setting import Mode


def parser() -> Parser:
    made = Parser(
        "buntime sleep APP[@VERSION] [--to WHERE]",
        "End the idle workers of an app, of all its versions or of one, so that it takes no "
        "memory until the next request. Those that `prewarm` wants ready stay.",
        examples=("buntime sleep shop",),
    )
    made.add_words("APP", "the name of an app, with its version or without")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    name = one_word(command, "the name of an app")
    answer = connect(command, mode).post(f"/api/apps/{name_in_path(name)}/sleep")
    if command.args["json"]:
        print_json(answer)
    else:
        ended = ", ".join(answer["ended"])
        say(f"{name}: ending {ended}" if ended else f"{name}: no idle workers to end")
    return 0
