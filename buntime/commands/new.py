"""`buntime new NAME`: write a first app. Nothing that is there is ever overwritten."""

import sys
from pathlib import Path

from buntime.commands.arguments import Command, Parser, one_word
from buntime.commands.firstapps import KINDS
from buntime.core.apps.router import is_app_name
from buntime.core.apps.versions import is_version
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import shown


def parser() -> Parser:
    made = Parser(
        "buntime new NAME [--kind KIND]",
        "Write a first app into the new folder NAME, which may be a path: apps/shop.",
    )
    made.add_words("NAME", "the app's folder; its last part is the app's name")
    made.add_argument(
        "--kind",
        choices=tuple(KINDS),
        default="fetch",
        help="fetch: a function, wsgi or asgi: as frameworks have it, static: a site [fetch]",
    )
    return made


def run(command: Command, mode: Mode) -> int:
    folder = Path(one_word(command, "the name of one app, such as apps/shop"))
    name = _check_name(folder)
    kind = KINDS[command.args["kind"]]
    try:
        folder.mkdir(parents=True)
        for file, text in kind.items():
            with open(folder / file, "x", encoding="utf-8") as new:
                new.write(text)
    except FileExistsError as exc:
        raise UsageError(f"{folder} already exists; choose another name, or remove it") from exc
    except OSError as exc:
        raise UsageError(f"{exc.filename or folder} cannot be written: {exc.strerror}") from exc
    above = folder.resolve().parent.parent if "/" in name else folder.resolve().parent
    sys.stdout.write(
        f"wrote {', '.join(str(folder / file) for file in kind)}\n\n"
        f"Serve it:   buntime {_relative(above)}\n"
        f"Look at it: http://localhost:8000/{name}/\n"
    )
    return 0


def _check_name(folder: Path) -> str:
    """The name that the app will have: `"apps/@acme/shop@1.0.0"` -> "@acme/shop@1.0.0"."""
    label = folder.name
    if folder.parent.name.startswith("@"):
        label = f"{folder.parent.name}/{label}"
    at = label.find("@", 1)
    name, version = (label, None) if at < 0 else (label[:at], label[at + 1 :])
    if not is_app_name(name):
        raise UsageError(
            f"{shown(name)} is not an app name: no request could reach it; "
            "use letters, digits and ._~-"
        )
    if version is not None and not is_version(version):
        raise UsageError(f'{shown(version)} is not a version; write one like 1.2.0, or "latest"')
    return label


def _relative(folder: Path) -> str:
    """As it is typed from here, where it lies below."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)
