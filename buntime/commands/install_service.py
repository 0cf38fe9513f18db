"""`buntime install-service`: write systemd units that start the Buntime it is run from.

Nothing is overwritten without `--force`, and the difference is shown. Nothing is started: the
commands for that are printed.
"""

import difflib
import os
import re
import socket
import sys
from pathlib import Path
from shlex import quote

from buntime.commands.arguments import Command, Parser
from buntime.commands.systemd import Service
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import shown

_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_SOCKET = re.compile(r"[/@][!-~]+")
_PORT = re.compile(r"(?:([0-9.]+|\[[0-9A-Fa-f:.]+\]):)?([0-9]{1,5})")
_DEFAULT = Service()
_NEW_KEY = "echo RUNTIME_MASTER_KEY=$(head -c 24 /dev/urandom | base64)"


def parser() -> Parser:
    made = Parser(
        "buntime install-service [DIR...] [--FLAG VALUE...]",
        "Write units for systemd that start this Buntime with the apps in the folders DIR, and a "
        "file for its settings. Units that are there already are not overwritten without --force.",
        examples=("buntime install-service /srv/apps --listen 127.0.0.1:8000",),
    )
    made.add_words("DIR", f"folders of apps [{_DEFAULT.folders[0]}]")
    made.add_argument(
        "--listen",
        metavar="ADDRESSES",
        default=_DEFAULT.listen[0],
        help="PORT, ADDRESS:PORT, [IPV6]:PORT or /path of a unix socket, several with commas "
        f"[{_DEFAULT.listen[0]}]",
    )
    made.add_argument(
        "--user", metavar="USER", default=_DEFAULT.user, help=f"who runs it [{_DEFAULT.user}]"
    )
    made.add_argument(
        "--settings",
        metavar="PATH",
        default=_DEFAULT.settings,
        help=f"the file for settings [{_DEFAULT.settings}]",
    )
    made.add_argument(
        "--units",
        metavar="DIR",
        default="/etc/systemd/system",
        help="where the units go [/etc/systemd/system]",
    )
    made.add_argument("--force", action="store_true", help="overwrite units that differ")
    return made


def run(command: Command, mode: Mode) -> int:
    service = _service(command, mode)
    units = Path(command.args["units"])
    texts = {
        units / "buntime.service": service.service_unit(),
        units / "buntime.socket": service.socket_unit(),
    }
    differing = [path for path, text in texts.items() if _differs(path, text)]
    for path in differing:
        sys.stdout.writelines(_difference(path, texts[path]))
    if differing and not command.args["force"]:
        names = ", ".join(map(str, differing))
        sys.stdout.write(f"\nnothing was written: {names} would change; --force overwrites\n")
        return 1
    for path, text in texts.items():
        _write(path, text)
    if not Path(service.settings).exists():
        _write(Path(service.settings), service.settings_file(), mode=0o640)
    for warning in _warnings(service):
        sys.stdout.write(f"warning: {warning}\n")
    sys.stdout.write(_what_to_run(service, units))
    return 0


def _service(command: Command, mode: Mode) -> Service:
    args = command.args
    if not _USER.fullmatch(args["user"]):
        raise UsageError(
            f"--user: {shown(args['user'])} is not a user name; write up to 31 of a-z, 0-9, _ and "
            "-, with a letter or _ first"
        )
    listen = tuple(filter(None, re.split(r"[,\s]+", args["listen"])))
    for place in listen:
        if not _is_place(place):
            raise UsageError(
                f"--listen: {shown(place)} is not an address to listen on; write PORT, "
                "ADDRESS:PORT, [IPV6]:PORT or /path, with a port from 1 to 65535"
            )
    started = _started(mode)
    folders = tuple(map(os.path.abspath, command.words)) or _DEFAULT.folders
    for path in (*started, *folders, args["settings"]):
        if not path.isprintable():
            raise UsageError(f"{shown(path)} has characters that a unit file cannot hold")
    return Service(
        command=started,
        folders=folders,
        listen=listen or _DEFAULT.listen,
        settings=os.path.abspath(args["settings"]),
        user=args["user"],
        protect_home="read-only" if _below(_HOMES, (*started, *folders)) else "yes",
    )


def _is_place(place: str) -> bool:
    """Whether systemd takes it in `ListenStream=`; a line that it does not take, it skips."""
    if _SOCKET.fullmatch(place):
        return True
    match = _PORT.fullmatch(place)
    if match is None or not 1 <= int(match[2]) <= 65535:
        return False
    if match[1] is None:
        return True
    family = socket.AF_INET6 if match[1].startswith("[") else socket.AF_INET
    try:
        socket.inet_pton(family, match[1].strip("[]"))
    except OSError:
        return False
    return True


def _started(mode: Mode) -> tuple[str, ...]:
    """The command that starts the file that this runs from."""
    program = os.path.abspath(sys.argv[0])
    return (program,) if mode == "binary" else (sys.executable, program)


def _below(folders: tuple[str, ...], paths: tuple[str, ...]) -> list[str]:
    return [path for path in paths if any(Path(path).is_relative_to(each) for each in folders)]


def _differs(path: Path, text: str) -> bool:
    return path.exists() and path.read_text("utf-8", "replace") != text


def _difference(path: Path, text: str) -> list[str]:
    there = path.read_text("utf-8", "replace").splitlines(keepends=True)
    new = text.splitlines(keepends=True)
    return list(difflib.unified_diff(there, new, str(path), f"{path} (new)"))


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write it completely or not at all, under a temporary name first."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with open(fresh, "x", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        fresh.replace(path)
    except OSError as exc:
        raise UsageError(f"{exc.filename} cannot be written: {exc.strerror}; run it as root, or "
                         "name other places with --units and --settings") from exc  # fmt: skip
    sys.stdout.write(f"wrote {path}\n")


def _warnings(service: Service) -> list[str]:
    paths = (*service.command, *service.folders)
    found = [
        f"{path} is below /tmp, which the service does not see; move it"
        for path in _below(_TEMPORARY, paths)
    ]
    found += [
        f"{path} is in a home folder; user {service.user} must be able to read it"
        for path in _below(_HOMES, paths)
    ]
    found += [
        f"{path} is not there; the service does not start without it" for path in _missing(service)
    ]
    return found


def _missing(service: Service) -> list[str]:
    return [path for path in service.folders if not os.path.isdir(path)]


def _what_to_run(service: Service, units: Path) -> str:
    user, place = service.user, Path("/etc/systemd/system")
    settings, secrets = quote(service.settings), quote(service.secrets)
    home = "--home-dir /var/lib/buntime --shell /usr/sbin/nologin"
    lines = [
        "",
        "Now run, as root:",
        f"  id {user} || useradd --system {home} {user}",
        f"  chgrp {user} {settings} && chmod 640 {settings}",
        f"  test -e {secrets} || (umask 077; {_NEW_KEY} > {secrets})",
        *(f"  mkdir -p {quote(path)}" for path in _missing(service)),
        *([] if units == place else [f"  cp {quote(str(units))}/buntime.* {place}/"]),
        "  systemctl daemon-reload",
        "  systemctl enable --now buntime.socket buntime.service",
        "  systemctl status buntime; journalctl -u buntime",
        "",
        "After a change:  systemctl reload buntime   (settings and apps)",
        "                 systemctl restart buntime  (another Buntime; no request is lost)",
    ]
    return "\n".join([*lines, ""])
