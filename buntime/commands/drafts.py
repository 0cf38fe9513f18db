"""Manifests that `buntime import` makes: what can be carried over from another server's file, and
what cannot.

    Draft(name="shop", folder="/srv/shop", manifest={"entrypoint": "shop.wsgi:application"},
          left=["uid = www-data: ..."])

The result is parsed as a manifest before it is written: a value that a manifest cannot have is left
out, and reported with the reason.
"""

import json
import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from buntime.core.apps.credentials import is_withheld
from buntime.core.apps.manifest import KEYS, parse_manifest
from buntime.core.errors import ManifestError

_KEYS = frozenset(key.name for key in KEYS)
_BODY_BYTES = 1 << 40
_SECRET = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_SHELL = re.compile(r"[|&;<>()$`*?]|^\w+=")
_LEFT_CHARS = 300
_FIRST = ("entrypoint", "ttl", "idleTimeout")  # fixes the keys that must agree
_PLAIN = re.compile(r"[A-Za-z][A-Za-z_./-]*(:[A-Za-z_()]+)?")
_OTHER_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "y", "n", "null"))


class Unreadable(Exception):
    """Why a file cannot be read, in words that follow its name's."""


def read_text(path: str, most_bytes: int) -> str:
    """A whole file; neither waits for a pipe nor reads a part of what is too large.

    Raises FileNotFoundError, and Unreadable for any other reason.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            data = _read_regular(descriptor, most_bytes + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise Unreadable(f"it cannot be read: {exc.strerror}") from exc
    if data is None:
        raise Unreadable("it cannot be read: it is not a regular file")
    if len(data) > most_bytes:
        raise Unreadable(f"it cannot be read: it has more than {most_bytes >> 20} MB")
    try:
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise Unreadable("it is not text in UTF-8") from None


def _read_regular(descriptor: int, most_bytes: int) -> bytes | None:
    """None if it is not a regular file."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return None
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(most_bytes)


@dataclass
class Draft:
    """One app. `folder` is where it is, possibly on another machine."""

    name: str
    folder: str
    source: str  # the file, for people
    manifest: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)  # what was not carried over, and why
    _prepared: list[str] = field(default_factory=list)  # the commands of `release`

    def leave(self, what: str, why: str) -> None:
        """Record that something was not carried over."""
        self.left.append(f"{what}: {why}"[:_LEFT_CHARS])

    def _serve_always(self) -> None:
        """As in servers with permanent processes: no end by time, by number, or by being idle."""
        manifest = self.manifest
        manifest.setdefault("ttl", "none")
        manifest.setdefault("maxRequests", "none")
        if manifest.get("idleTimeout", "none") != "none":
            # There, idle may be shorter than a request takes; here it counts from its end.
            if _seconds(manifest["idleTimeout"]) < _seconds(manifest.get("timeout", "30s")):
                manifest["idleTimeout"] = manifest.get("timeout", "30s")
        else:
            manifest["idleTimeout"] = "none"
            manifest["keep"] = True

    def environment(self, env: Mapping[str, str]) -> None:
        """Its variables; credentials become secrets, whose values are set separately."""
        for name, value in env.items():
            if name == "PYTHONPATH":
                for each in filter(None, value.split(":")):
                    self.import_from(each)
            elif not is_withheld(name, value):
                self.manifest.setdefault("env", {})[name] = value
            elif _SECRET.fullmatch(name):
                self.manifest.setdefault("secrets", []).append(name)
                self.leave(
                    name,
                    f"its value is not written down; set it with: buntime secrets set {self.name} "
                    f"{name}",
                )
            else:
                self.leave(name, "it looks like a secret, and no secret may have such a name")

    def static(self, prefix: str, path: str) -> None:
        """A folder that is served below a prefix."""
        below = self.below(path)
        prefix = "/" + prefix.strip("/")
        if below is None or below == ".":
            self.leave(
                f"{prefix} from {path}", "only a folder inside the app's folder can be served"
            )
        elif prefix == "/":
            self.leave(f"/ from {path}", "the app itself answers at its root")
        else:
            self.manifest.setdefault("static", {})[prefix] = below

    def python_of(self, environment: str) -> None:
        """The interpreter of a virtual environment."""
        below = self.below(environment)
        place = environment.rstrip("/") if below is None else below
        if below != ".venv":  # it is found there anyway
            self.manifest["python"] = f"{place}/bin/python"

    def import_from(self, path: str) -> None:
        """A folder that modules are imported from."""
        below = self.below(path)
        if below is None:
            self.leave(
                f"the import path {path}",
                "only folders inside the app's folder can be; move it there",
            )
        elif below != "." and below not in self.manifest.get("path", ()):
            self.manifest.setdefault("path", []).append(below)

    def prepare(self, command: str, *, is_first: bool = False) -> None:
        """A command before a deployed version serves; several run one after the other."""
        self._prepared.insert(0 if is_first else len(self._prepared), command)
        several = " && ".join(map(_whole, self._prepared))
        self.manifest["release"] = words_of(several if len(self._prepared) > 1 else command)

    def process(self, name: str, command: str) -> None:
        """A program that runs all the time."""
        self.manifest.setdefault("processes", {})[name] = words_of(command)

    def job(self, name: str, schedule: str, command: str) -> None:
        """A program that runs on a schedule."""
        fields = {"name": name, "schedule": schedule, "run": words_of(command)}
        self.manifest.setdefault("cron", []).append(fields)

    def below(self, path: str) -> str | None:
        """The path from the app's folder: `"/srv/shop/static"` -> "static"; None outside of it."""
        whole = os.path.normpath(os.path.join(self.folder, path))
        below = os.path.relpath(whole, self.folder)
        return None if below.startswith("..") else below

    def text(self) -> str:
        """As buntime.yaml, followed by what is left to do."""
        manifest = self.checked()
        lines = [f"# Made by buntime import of {_plain(self.source)}."]
        lines += [f"{key}: {_yaml(value)}" for key, value in manifest.items()]
        if self.left:
            lines += ["", "# Not carried over:", *(f"# - {_plain(each)}" for each in self.left)]
        return "\n".join(lines) + "\n"

    def checked(self) -> dict[str, Any]:
        """The part that a manifest can have; the rest is reported. Call it once."""
        is_program = not str(self.manifest.get("entrypoint")).endswith(".html")
        if self.manifest and is_program:
            self._serve_always()
        found = self.manifest
        if _fault_of(found):
            found = {}
            for key in sorted(self.manifest, key=lambda key: key not in _FIRST):
                value = self.manifest[key]
                if fault := _fault_of({**found, key: value}):
                    self.leave(f"{key}: {json.dumps(value)}", fault)
                else:
                    found[key] = value
        self.manifest = {key: found[key] for key in self.manifest if key in found}
        if found and is_program:
            self._serve_always()  # in place of those that were left out
        return self.manifest


def _seconds(text: object) -> int:
    """`"60s"` -> 60; 0 for anything else."""
    match = re.fullmatch(r"([0-9]{1,9})s", str(text))
    return int(match[1]) if match else 0


def _fault_of(manifest: Mapping[str, Any]) -> str:
    """Why it cannot be one, or ""."""
    unknown = [key for key in manifest if key not in _KEYS]
    if unknown:
        return f"this version of Buntime has no key {unknown[0]}"
    text = "\n".join(f"{key}: {_yaml(value)}" for key, value in manifest.items())
    try:
        parse_manifest(text.encode(), path="", body_default=_BODY_BYTES, body_max=_BODY_BYTES)
    except ManifestError as exc:
        return str(exc).lstrip(":0123456789 ")
    except UnicodeEncodeError:
        return "it is not text in UTF-8"
    return ""


def number_or_none(value: str) -> int | str:
    """A limit of another server, where 0 means that there is none. Raises ValueError."""
    return int(value) or "none"


def seconds_or_none(value: str) -> str:
    """`"60"` -> "60s", `"0"` -> "none". Raises ValueError."""
    return f"{int(value)}s" if int(value) else "none"


def words_of(command: str) -> list[str]:
    """`"celery -A shop"` -> its words; what needs a shell gets one."""
    if not _SHELL.search(command):
        try:
            return shlex.split(command)
        except ValueError:  # an unclosed quotation
            pass
    return ["sh", "-c", command]


def _whole(command: str) -> str:
    """As one command among several in a line of a shell."""
    return f"({command})" if ";" in command or "||" in command else command


def _yaml(value: object) -> str:
    """As JSON, which YAML reads; words that mean themselves are left as they are."""
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) is not None
    if is_plain and str(value).lower() not in _OTHER_WORDS:
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
