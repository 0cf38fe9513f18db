"""`buntime import FILE...`: manifests for apps that another server has run.

    unit.json          NGINX Unit's configuration, or what its control API prints
    shop.ini           uWSGI's, as the Emperor has one for each vassal
    Procfile, ENV      of Heroku, Dokku and piku; given together they are one app's
    shop.service       a unit of systemd that starts gunicorn, uvicorn or another such server

A manifest is written into the app's folder, or below `--into`; an existing one is not touched
without --force. What could not be carried over is reported, and listed in the manifest.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from buntime.commands.arguments import Command, Parser
from buntime.commands.drafts import Draft, Unreadable, read_text
from buntime.commands.importprocfile import read_env, read_procfile, take_env
from buntime.commands.importsystemd import read_service
from buntime.commands.importunit import read_unit
from buntime.commands.importuwsgi import read_uwsgi
from buntime.commands.tables import print_json, say
from buntime.core.apps.manifest import MANIFEST_NAMES
from buntime.core.apps.router import RESERVED, is_app_name
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.setting import Mode

_FILE_MAX_BYTES = 4 << 20
_PROCFILE, _ENV = "Procfile", "ENV"


def parser() -> Parser:
    made = Parser(
        "buntime import FILE... [--into DIR] [--dry-run] [--force]",
        "Write manifests for the apps of other servers: of NGINX Unit (unit.json), uWSGI "
        "(NAME.ini), Heroku, Dokku and piku (Procfile, ENV), and of gunicorn, uvicorn and others "
        "started by systemd (NAME.service). They go into the apps' folders, or below --into; what "
        "could not be carried over is listed.",
        examples=(
            "buntime import /etc/uwsgi/vassals/shop.ini --dry-run",
            "buntime import shop/Procfile shop/ENV",
            "buntime import /etc/systemd/system/shop.service --dry-run",
            "buntime import unit.json --into apps",
        ),
    )
    made.add_words("FILE", "files of other servers; Procfile and ENV of one folder are one app")
    made.add_argument("--into", metavar="DIR", help="write to DIR/APP/buntime.yaml")
    made.add_argument("--force", action="store_true", help="overwrite manifests that are there")
    made.add_argument("--dry-run", action="store_true", help="print the manifests, write nothing")
    made.add_argument("--json", action="store_true", help="print what was found as JSON")
    return made


def run(command: Command, mode: Mode) -> int:
    if not command.words:
        raise UsageError(
            "import needs files: unit.json, an .ini of uWSGI, a Procfile, piku's ENV, or a "
            ".service of systemd"
        )
    drafts = list(_drafts(command.words))
    for draft in drafts:
        _check_name(draft, stays=command.args["into"] is None)
    texts = {draft.name: draft.text() for draft in drafts if draft.manifest}
    places = {draft.name: _place(command, draft) for draft in drafts if draft.manifest}
    if not command.args["dry_run"]:
        _check(command, places)
        for name, place in places.items():
            _write(place, texts[name])
    if command.args["json"]:
        print_json({"apps": [_to_json(draft, places.get(draft.name)) for draft in drafts]})
    else:
        for draft in drafts:
            _tell(draft, places.get(draft.name), texts.get(draft.name, ""), command)
    if not places:
        raise CommandError("no_apps", "no app was found that can be served")
    return 0


def _drafts(words: tuple[str, ...]) -> Iterator[Draft]:
    """By the files' names; a Procfile and the ENV beside it make one draft."""
    procfiles: dict[str, Draft] = {}
    envs: dict[str, Mapping[str, str]] = {}
    for word in words:
        path, name = os.path.abspath(word), os.path.basename(word)
        folder, text = os.path.dirname(path), _read(word)
        if name.startswith(_PROCFILE):
            procfiles[folder] = read_procfile(text, word, folder)
        elif name == _ENV or name.endswith(".env"):
            envs[folder] = read_env(text, word)
        elif name.endswith(".service"):
            yield read_service(text, word, path)
        elif name.endswith(".ini"):
            yield from read_uwsgi(text, word, path)
        elif name.endswith(".json") or text.lstrip().startswith("{"):
            yield from read_unit(text, word)
        else:
            raise UsageError(
                f"{word}: its name does not say what it is; files are named unit.json, "
                "NAME.ini, NAME.service, Procfile or ENV"
            )
    for folder, env in envs.items():
        draft = procfiles.setdefault(folder, Draft(os.path.basename(folder), folder, _ENV))
        take_env(draft, env)
    yield from procfiles.values()


def _check_name(draft: Draft, *, stays: bool) -> None:
    """Say so if the app will not be served, or not by this name, since it has that of its folder.

    `stays`: it is not copied to a folder of that name.
    """
    folder = os.path.basename(draft.folder)
    if stays and draft.manifest and folder not in ("", draft.name):
        draft.leave(
            f"the name {draft.name}",
            f"the app has that of its folder, {folder}, also for its secrets; rename the folder, "
            "or put the manifest elsewhere with --into",
        )
    if draft.name in RESERVED:
        draft.leave(f"the name {draft.name}", "it is the runtime's own path; rename the folder")
    elif not is_app_name(draft.name):
        draft.leave(f"the name {draft.name}", "no request could reach it; rename the folder")


def _read(path: str) -> str:
    try:
        return read_text(path, _FILE_MAX_BYTES)
    except FileNotFoundError as exc:
        raise UsageError(
            f"{path} cannot be read: {exc.strerror}; see buntime import --help"
        ) from exc
    except Unreadable as exc:
        why = str(exc).removeprefix("it ")
        raise UsageError(f"{path} {why}; see buntime import --help") from exc


def _place(command: Command, draft: Draft) -> str:
    """Where the manifest goes."""
    into = command.args["into"]
    if into is None:
        return os.path.join(draft.folder, MANIFEST_NAMES[0])
    if not is_app_name(draft.name):
        raise UsageError(
            f"{draft.name!r} of {draft.source} is not a name for an app; rename it there"
        )
    return os.path.join(into, draft.name, MANIFEST_NAMES[0])


def _check(command: Command, places: Mapping[str, str]) -> None:
    """Before anything is written. Raises UsageError."""
    for place in places.values():
        folder = os.path.dirname(place)
        if command.args["into"] is None and not os.path.isdir(folder):
            raise UsageError(
                f"the app's folder {folder} is not here; name a folder to write to with --into "
                "DIR, or only look with --dry-run"
            )
        there = [each for each in MANIFEST_NAMES if os.path.lexists(os.path.join(folder, each))]
        if there and not command.args["force"]:
            raise UsageError(
                f"{os.path.join(folder, there[0])} is there already; --force overwrites it"
            )


def _write(place: str, text: str) -> None:
    """By one rename, so that a runtime sees all or nothing."""
    fresh = f"{place}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(fresh, "x", encoding="utf-8") as file:
            file.write(text)
        os.replace(fresh, place)
    except OSError as exc:
        raise UsageError(f"{place} cannot be written: {exc.strerror}") from exc


def _to_json(draft: Draft, place: str | None) -> dict[str, Any]:
    fields = {"app": draft.name, "source": draft.source, "manifest": draft.manifest}
    return {**fields, "file": place, "notCarriedOver": draft.left}


def _tell(draft: Draft, place: str | None, text: str, command: Command) -> None:
    is_dry = command.args["dry_run"]
    if place is None:
        say(f"{draft.name}: no manifest")
    else:
        say(f"{draft.name}: {place}{' (not written)' if is_dry else ''}")
        if is_dry:
            for line in text.splitlines():
                say(f"  {line}")
            return  # what is left is listed there too
    for each in draft.left:
        say(f"  not carried over: {each}")
