"""`buntime new NAME`: write a first app or plugin. Existing files are never overwritten."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from buntime.commands.advice import near
from buntime.commands.arguments import Command, Parser, one_word
from buntime.commands.firstapps import KINDS, plugin_files
from buntime.commands.firstfiles import complete, test_name
from buntime.commands.firstframeworks import FRAMEWORKS
from buntime.commands.program import pasted
from buntime.core.apps.router import RESERVED, is_app_name
from buntime.core.apps.versions import is_version
from buntime.core.errors import UsageError
from buntime.core.plugins.manifest import parse_plugin_manifest
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import shown, suggestion
from buntime.server.bundle.carried import carried_plugins

_PLUGIN = "plugin"
_ALL = (*KINDS, *FRAMEWORKS, _PLUGIN)


def parser() -> Parser:
    made = Parser(
        "buntime new NAME [--kind KIND]",
        "Write a first app, or a plugin, into the new folder NAME, which may be a path: apps/shop, "
        "plugins/audit.",
        examples=("buntime new apps/shop --kind flask",),
    )
    made.add_words("NAME", "the app's folder; its last part is the app's name")
    made.add_argument(
        "--kind",
        type=_kind,
        choices=_ALL,
        default="fetch",
        help="fetch: a function, wsgi, asgi: frameworks, static: a site; "
        "flask, fastapi, starlette, django, dash, streamlit; or plugin [fetch]",
    )
    return made


def _kind(text: str) -> str:
    """A kind; what argparse says of `choices` names no likely one."""
    if text not in _ALL:
        wrong = f"{shown(text)} is not one of {', '.join(_ALL)}{suggestion(text, _ALL)}"
        raise argparse.ArgumentTypeError(wrong)
    return text


def run(command: Command, mode: Mode) -> int:
    folder = Path(one_word(command, "the name of one app, such as apps/shop"))
    name = _check_name(folder)
    is_plugin = command.args["kind"] == _PLUGIN
    if is_plugin:
        _check_plugin(name)
    else:
        _check_base(name)
    kind = command.args["kind"]
    code = plugin_files(name) if is_plugin else (KINDS | FRAMEWORKS)[kind]
    files = complete(code, kind, name, f"pytest {quote(str(folder))}")
    _write(folder, files)
    above = folder.resolve().parent.parent if "/" in name else folder.resolve().parent
    sys.stdout.write(f"wrote {', '.join(str(folder / file) for file in files)}\n\n")
    if kind in FRAMEWORKS:
        sys.stdout.write(_packages(f"{folder}/.venv", kind))
    if test_name(name) in files:
        sys.stdout.write(_how_to_test(folder, kind, mode))
    sys.stdout.write(_advice(name, near(above), mode, is_plugin=is_plugin))
    return 0


def _advice(name: str, above: str, mode: Mode, *, is_plugin: bool) -> str:
    """What to do next, in lines. An author wants each change served, and only on this machine."""
    words = () if mode == "checkout" else ("--env", "development")
    if not is_plugin:
        return f"Serve it:   {pasted(above, *words)}\nLook at it: http://localhost:8000/{name}/\n"
    start = pasted("apps", "--plugin-dirs", above, *words)
    return (
        f"Check it:   {pasted('plugins', 'check', above)}\n"
        f"Run it:     {start}     with your folder of apps\n"
        f"Look at it: http://localhost:8000/{name.rpartition('/')[2]}/\n"
    )


def _how_to_test(folder: Path, kind: str, mode: Mode) -> str:
    """The archive can be used directly as a folder of packages; other forms are installed beside
    pytest."""
    packages = ["pytest", *([kind] if kind in FRAMEWORKS else [])]
    line = f"pytest {quote(str(folder))}"
    if mode == "pyz":
        line = f"PYTHONPATH={quote(f'{sys.argv[0]}/content')} {line}"
    else:
        packages.insert(0, "buntime")
    return f"Test it:    {line}     in an environment with {_listed(packages)}\n"


def _listed(words: list[str]) -> str:
    """`["buntime", "pytest", "flask"]` -> "buntime, pytest and flask"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _packages(venv: str, package: str) -> str:
    pip = quote(f"{venv}/bin/pip")
    return f"Get {package}: python3 -m venv {quote(venv)} && {pip} install {package}\n"


def _write(folder: Path, files: Mapping[str, str]) -> None:
    try:
        folder.mkdir(parents=True)
        for file, text in files.items():
            with open(folder / file, "x", encoding="utf-8") as new:
                new.write(text)
    except FileExistsError as exc:
        raise UsageError(f"{folder} already exists; choose another name, or remove it") from exc
    except OSError as exc:
        raise UsageError(f"{exc.filename or folder} cannot be written: {exc.strerror}") from exc


def _check_plugin(name: str) -> None:
    if "@" in name[1:]:
        raise UsageError(f"{shown(name)}: a plugin's version is in its manifest; leave it out")
    base = name.rpartition("/")[2]
    if base.lower() in RESERVED:
        raise UsageError(f"/{base} is the runtime's own path; choose another name")


def _check_base(name: str) -> None:
    """An app may not have the path of a plugin that comes with Buntime. Others are not known here,
    but a deploy is refused where one has the path."""
    for path in carried_plugins().glob("*/buntime.yaml"):
        text, limits = path.read_bytes(), {"body_default": 1, "body_max": 1}
        plugin, _ = parse_plugin_manifest(text, path=str(path), **limits)
        if plugin.base == f"/{name}":
            raise UsageError(
                f"/{name} is the path of the plugin {plugin.name}, which comes with Buntime; "
                "choose another name"
            )


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
    if name in RESERVED:
        raise UsageError(f"/{name} is the runtime's own path; choose another name")
    if version is not None and not is_version(version):
        raise UsageError(f'{shown(version)} is not a version; write one like 1.2.0, or "latest"')
    return label
