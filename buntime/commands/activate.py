"""`buntime activate APP@VERSION`: make another version the one that serves."""

from buntime.commands.arguments import Command, Parser
from buntime.commands.client import Api, ApiError, Streamed, connect, name_in_path
from buntime.commands.following import follow
from buntime.commands.tables import say
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode


def parser() -> Parser:
    made = Parser(
        "buntime activate APP@VERSION [--to WHERE]",
        "Make a version of an app the active one, once a worker has loaded it.",
        examples=("buntime activate shop@1.2.0", "buntime activate shop 1.2.0 --to prod"),
    )
    made.add_words("APP", "the name of an app and its version")
    made.add_argument("--dry-run", action="store_true", help="check it, and change nothing")
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    name, version = app_and_version(command)
    if version is None:
        raise UsageError("activate needs an app and its version, such as shop@1.2.0")
    path = f"/api/apps/{name_in_path(name)}/versions/{name_in_path(version)}/activate"
    api = connect(command, mode)
    active, tag = active_version(api, name)
    if active and not command.args["json"]:
        say(f"{name}: going from {active} to {version}")
    lines = api.matching(tag).lines("POST", path, dryRun=command.args["dry_run"] or None)
    what = f"the activation of {name}@{version}"
    return follow(api, Streamed("", lines), what, as_json=bool(command.args["json"]))


def active_version(api: Api, name: str) -> tuple[str, str]:
    """The active version of an app, and the ETag that covers it and the set of versions.

    Both are "" if unknown: if the change itself is refused too, it says why.
    """
    try:
        app, tag = api.tagged(f"/api/apps/{name_in_path(name)}")
    except ApiError as exc:
        if exc.status in (403, 404):
            return "", ""
        raise
    return str(app.get("active") or ""), tag


def app_and_version(command: Command) -> tuple[str, str | None]:
    """`["shop@1.2.0"]`, `["shop", "1.2.0"]` -> ("shop", "1.2.0"); `["shop"]` -> ("shop", None)."""
    match command.words:
        case [name, version]:
            return name, version
        case [word] if "@" in word[1:]:
            name, _, version = word.rpartition("@")
            return name, version
        case [word]:
            return word, None
    raise UsageError(
        f"{command.name} needs an app, such as shop or shop@1.2.0 "
        f"(see buntime {command.name} --help)"
    )
