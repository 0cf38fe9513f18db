"""What to run next: shell commands that `doctor` and `check` print after their findings.

They are made from the finding: the file and line that it names, the missing secret, the packages to
install. If no single command on this machine can fix it, the command shows what the finding is
about.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from buntime.commands.program import pasted
from buntime.core.apps.app import App, Fault
from buntime.core.values.regex import regex

_PLACE = regex(r"(?P<file>/[^:\n]+?)(?::(?P<line>\d+))?: ")  # at the start of a message
_CODE = regex(r"(?P<file>[\w./-]+\.py): \w+.*?\((?:(?P<other>[\w./-]+\.py), )?line (?P<line>\d+)\)")
_INSTALL = regex(r"install it: (cd .+)$")
_SECRET = regex(r"buntime secrets set (\S+) ([A-Z0-9_]+)")
_MEANT = regex(
    r"(?:did you mean the command|write a first app there:|WORKER_DIRS:|or check it:) (.+?)\??$"
)
_FOLDER = regex(r"the folder of apps (.+?) cannot be read")
_AS_ROOT = "does not run as root"  # said of an app that was deployed
_LATE = "did not load in"
_CLOSED = "user read "  # the end of what is said of a folder or file that is closed to it
_LATER = "5m"


def edit(path: str | Path, line: int = 0) -> str:
    """`"${EDITOR:-vi}" +3 apps/shop/buntime.yaml`."""
    place = f"+{line} " if line else ""
    return f'"${{EDITOR:-vi}}" {place}{quote(near(path))}'


def export(name: str, value: object) -> str:
    """A setting for what is started from this shell."""
    return f"export {name}={quote(str(value))}"


def near(path: str | Path) -> str:
    """A path as it is typed from here: relative if it is below."""
    found, here = Path(path), Path.cwd()
    return str(found.relative_to(here)) if found.is_relative_to(here) else str(found)


def of_place(message: str) -> str:
    """Open the file that a message begins with, `"/srv/apps/shop/buntime.yaml:3: …"`, or ""."""
    found = _PLACE.match(message)
    if found is None:
        return ""
    if os.path.isdir(found["file"]):
        return f"ls -la {quote(near(found['file']))}"
    return edit(found["file"], int(found["line"] or 0))


def of_fault(app: App | Fault, error: str, folders: tuple[str, ...]) -> str:
    """What to do about an app that cannot be served. `folders` are the folders of apps."""
    folder = app.folder if isinstance(app, Fault) else app.dir
    first = error.partition("\n")[0]
    if found := _INSTALL.search(first):
        return found[1]
    if found := _SECRET.search(first):
        return pasted("secrets", "set", found[1], found[2])
    if _CLOSED in first:
        return to_read(folder)
    if _AS_ROOT in first:
        return export("RUNTIME_APP_USERS", "*=nobody")
    if ": no entrypoint; " in first:
        return edit(folder / "buntime.yaml")
    if found := _CODE.match(first):
        return edit(folder / (found["other"] or found["file"]), int(found["line"]))
    if place := of_place(first):
        return place
    if _LATE in first:
        return pasted("check", *map(near, folders), "--boot-timeout", _LATER)
    if isinstance(app, App):
        return edit(folder / app.entrypoint)
    return f"ls -la {quote(near(folder))}"


def of_exposed(folder: Path, path: str) -> str:
    """Move a file out of a site, into the folder above, from which nothing is served."""
    return f"mv {quote(near(folder / path))} {quote(near(folder.parent))}/"


def of_link(folder: Path, entrypoint: str, path: str) -> str:
    """Show where a page requests something outside of its app."""
    return f"grep -nF {quote(path)} {quote(near(folder / entrypoint))}"


def of_setting(error: str) -> str:
    """What to do about a setting that cannot be used."""
    if meant := _MEANT.search(error):
        return meant[1]
    if folder := _FOLDER.search(error):
        return f"ls -ld {quote(near(folder[1]))}"
    return of_place(error) or pasted("--help")


def to_hide(fields: Mapping[str, object]) -> str:
    """Keep a key from apps: `fields` name the file that has it, or the process, or neither."""
    file, pid = fields.get("file"), fields.get("pid")
    if file is not None:
        return f"chmod 600 {quote(near(str(file)))}"
    return f"ps -fp {pid}" if pid is not None else "sysctl kernel.yama.ptrace_scope"


def to_read(folder: Path) -> str:
    """Give a folder to the user who types this."""
    path = quote(near(folder))
    return f'sudo chown -R "$(id -un)" {path} && chmod -R u+rX {path}'


def nearest_existing(folder: Path) -> Path:
    """The folder, or if it does not exist, the first of its parents that does.

    What cannot be looked at, since it is in a folder of others, counts as what does not exist.
    """
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))


def why_not_writable(folder: Path) -> str:
    """Why nothing can be written into a folder, which may not exist yet; empty if something can."""
    there = nearest_existing(folder)
    if not there.is_dir():
        return f"{folder} cannot be made: {there} is not a folder"
    if os.access(there, os.W_OK | os.X_OK):
        return ""
    on = ": its file system is read-only" if _is_read_only(there) else ""
    return f"{there} cannot be written to{on}"


def _is_read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def to_own(folder: str) -> str:
    """Create a folder that the user of this shell can write to; move a file away that is there.

    On a read-only file system, show which one that is.
    """
    there = nearest_existing(Path(folder))
    if _is_read_only(there):
        return f"findmnt -T {quote(near(str(there)))}"
    own = f'sudo install -d -o "$(id -un)" {quote(near(folder))}'
    if there.is_dir():
        return own
    file = quote(near(str(there)))
    return f"mv {file} {file}.old && {own}"
