"""`buntime maintenance on|off APP`: close an app for a while; visitors get 503 and a message."""

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import connect, name_in_path
from buntime.commands.tables import print_json, say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.units import BadValue, parse_duration
from buntime.core.values.wording import shown

_RETRY_AFTER_MAX_S = 7 * 86400  # as the API has it


def parser() -> Parser:
    made = Parser(
        "buntime maintenance on|off APP [--message TEXT] [--retry-after TIME] [--to WHERE]",
        "Close an app for a while, also across restarts: visitors get 503 with a message and "
        "Retry-After. Requests under way are finished, and WebSockets stay open.",
        examples=(
            'buntime maintenance on shop --message "back at noon" --retry-after 1h',
            "buntime maintenance off shop",
        ),
    )
    made.add_words("on|off", "on or off, then the name of an app")
    made.add_argument("--message", metavar="TEXT", help="the message for visitors")
    made.add_argument(
        "--retry-after", metavar="DURATION", help="when they may come again, 1s to 7d [5m]"
    )
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    if len(command.words) != 2 or command.words[0] not in ("on", "off"):
        raise UsageError("write maintenance on APP, or maintenance off APP")
    action, name = command.words
    flags = {"message": command.args["message"], "retryAfterSeconds": _seconds(command)}
    value = {key: each for key, each in flags.items() if each is not None}
    if action == "off" and value:
        raise UsageError("--message and --retry-after are for maintenance on")
    api, path = connect(command, mode), f"/api/apps/{name_in_path(name)}/maintenance"
    answer = api.put(path, value) if action == "on" else api.delete(path)
    if command.args["json"]:
        print_json(answer)
    elif action == "on":
        say(f"{name}: closed; `buntime maintenance off {name}` opens it")
    else:
        say(f"{name}: open")
    return 0


def _seconds(command: Command) -> int | None:
    text = command.args["retry_after"]
    if text is None:
        return None
    try:
        seconds = round(parse_duration(text))
    except BadValue as exc:
        raise UsageError(f"--retry-after: {exc}") from exc
    if not 1 <= seconds <= _RETRY_AFTER_MAX_S:
        raise UsageError(f"--retry-after: {shown(text)} is not from 1s to 7d")
    return seconds
