"""Tries out a user in a process that becomes it, as a worker does.

It uses the kernel's own answers, so access lists and read-only mounts count.
"""

from buntime.core.values.tuples import NamedTuple
from buntime.server.pythons.identity import Identity
from buntime.server.pythons.inquiry import ask

_TIMEOUT_S = 10.0
_MARK = "buntime-trial:"

# Follows a line that sets uid, gid, groups, and needs, the fields of Needs. For any Python from 3.9
# on. It does without imports that take long, because apps wait for it.
_TRIAL = f"""
import os, stat
readable = [*needs["readable"], *([os.__file__] if needs["stdlib"] else [])]
readable = [path for path in readable if os.path.exists(path)]  # as root sees it

def ancestors(path):
    parts = os.path.abspath(path).split("/")
    return ["/".join(parts[:end]) or "/" for end in range(1, len(parts))]

def unreadable():
    for path in readable:
        for folder in [*ancestors(path), *ancestors(os.path.realpath(path))]:  # it may be a link
            if not os.access(folder, os.X_OK):
                return f"cannot read {{path}}, as it may not enter {{folder}}"
        if not os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)):
            return f"cannot read {{path}}"
    return ""

def passed(path, depth=40):
    # Whatever decides what a path leads to: folders, links, and the folders that those lie in.
    for step in [*ancestors(path), os.path.abspath(path)]:
        yield step
        if os.path.islink(step) and depth:
            target = os.path.join(os.path.dirname(step), os.readlink(step))
            yield from passed(target, depth - 1)

def changeable(path, may_be_sticky):
    try:
        state = os.lstat(path)
    except OSError:
        return False  # what it cannot even see
    if stat.S_ISLNK(state.st_mode):
        return False  # the folder that it lies in decides, and is passed as well
    if state.st_uid == uid:
        return True  # it can give itself the right
    is_sticky = stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX
    return os.access(path, os.W_OK) and not (is_sticky and may_be_sticky)

def replaceable():
    if uid == 0:
        return ""
    for guarded in needs["guarded"]:
        above = ancestors(guarded)
        near = above[-needs["near"]:]
        near = {{*near, *map(os.path.realpath, near)}}
        for path in passed(guarded):
            if changeable(path, may_be_sticky=path not in near):
                return f"can change {{path}}, and so the manifest that names it"
    return ""

def trouble():
    try:
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
    except OSError as exc:
        return f"is a user that the runtime is not allowed to change to ({{exc.strerror}})"
    return unreadable() or replaceable()

print({_MARK!r} + trouble())
"""


class Needs(NamedTuple):
    """What the user must be able to read, and must not be able to change.

    For a `guarded` path, the next `near` folders above must not even be folders like /tmp, in which
    the user can create files but not remove those of others.
    """

    readable: tuple[str, ...]
    stdlib: bool  # of the Python that tries it out
    guarded: tuple[str, ...] = ()
    near: int = 0


def try_out(python: str, identity: Identity, needs: Needs) -> str:
    """What keeps a user from running an app, as words that follow its name; "" if nothing does.

    `python` is run with the runtime's own rights.
    """
    values = ascii((identity.uid, identity.gid, identity.groups, needs._asdict()))
    trial = f"uid, gid, groups, needs = {values}\n{_TRIAL}"
    try:
        command = [python, "-I", "-S", "-X", "utf8", "-c", trial]
        answer = ask(command, env={}, timeout_s=_TIMEOUT_S)
    except OSError as exc:
        return f"could not be tried out: {exc}"
    output = answer.text.strip()
    if answer.is_late or not output.startswith(_MARK):
        return f"could not be tried out: {output or answer.returncode}"
    return output.removeprefix(_MARK)
