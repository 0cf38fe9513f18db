"""The archive of a backup: a tar.gz with these members, in this order.

    backup.json                   what the backup is of: `Head`
    apps/0/shop/app.py            what is in the first folder of apps; plugins/0/... the same
    data/@acme+shop/uploads/1     an app's data, by the name of its folder
    state/state.db                and state/plugins.json, state/plugin-options.json
    state/secrets/APP/NAME        if asked for; so are passwords in plugin-options.json
    contents.jsonl                name, size and SHA-256 of each file; what was left out

The members of a section stand together. Folders of apps may have links that stay inside them;
everything else is files and folders.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

FORMAT = 1
HEAD = "backup.json"
CONTENTS = "contents.jsonl"
HEAD_MAX_BYTES = 1 << 20
KINDS = ("apps", "plugins", "data", "state")
_DATA_NAME = regex(r"[a-z@][a-z0-9@+._~-]{0,254}", re.ASCII | re.IGNORECASE)
_STATE_FILES = ("state.db", "plugins.json", "plugin-options.json")


class BadBackup(Exception):
    """This version cannot restore the archive; the message says why."""


class Section(NamedTuple):
    """The content of one folder: ("apps", "0"), ("data", "@acme+shop"), ("state", "")."""

    kind: str
    name: str

    @property
    def prefix(self) -> str:
        return f"{self.kind}/{self.name}" if self.name else self.kind

    @property
    def has_links(self) -> bool:
        return self.kind in ("apps", "plugins")


class Head(NamedTuple):
    """What the archive says about itself."""

    version: str  # of the buntime that wrote it
    created: str  # "2026-11-27T02:51:00Z"
    apps: tuple[str, ...]  # the folders of apps, as they were called there
    plugins: tuple[str, ...]
    data: Mapping[str, str | None]  # the user of each folder; None for the runtime's own user
    has_secrets: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "buntime": self.version,
            "created": self.created,
            "apps": list(self.apps),
            "plugins": list(self.plugins),
            "data": {name: {"user": user} for name, user in self.data.items()},
            "hasSecrets": self.has_secrets,
        }

    @property
    def sections(self) -> list[Section]:
        """All sections that the archive may have."""
        return [
            *(Section("apps", str(number)) for number in range(len(self.apps))),
            *(Section("plugins", str(number)) for number in range(len(self.plugins))),
            *(Section("data", name) for name in self.data),
            Section("state", ""),
        ]


def parse_head(text: bytes) -> Head:
    """The head of an archive. Raises BadBackup."""
    try:
        fields = json.loads(text)
        if fields["format"] != FORMAT:
            raise BadBackup(
                f"it has the format {str(fields['format'])[:20]}, but this version reads "
                f"{FORMAT}; restore it with buntime {str(fields.get('buntime'))[:50]}"
            )
        data = {str(name): _user(each["user"]) for name, each in fields["data"].items()}
        head = Head(
            version=str(fields["buntime"]),
            created=str(fields["created"]),
            apps=tuple(map(str, fields["apps"])),
            plugins=tuple(map(str, fields["plugins"])),
            data=data,
            has_secrets=fields["hasSecrets"] is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadBackup(f"its {HEAD} cannot be read; it is not a backup of buntime's") from None
    for name in head.data:
        if not is_data_name(name):
            raise BadBackup(f"{name[:100]!r} is not the name of a folder of data")
    return head


def is_data_name(name: str) -> bool:
    """Whether this can be the name of a folder in `data`: "shop", "@acme+shop", "plugin+keyval"."""
    return _DATA_NAME.fullmatch(name) is not None


def section_of(member: str, head: Head) -> tuple[Section, list[str]]:
    """`"data/shop/a/b"` -> (data shop, ["a", "b"]). Raises BadBackup for anything unexpected."""
    kind, *path = member.split("/")
    if kind in ("apps", "plugins", "data") and path:
        section, path = Section(kind, path[0]), path[1:]
    else:
        section = Section(kind, "")
    if section not in head.sections:
        raise BadBackup(f"{member[:200]!r} belongs to nothing that {HEAD} names")
    if not path or any(part in ("", ".", "..") or "\0" in part for part in path):
        raise BadBackup(f"{member[:200]!r} is not an allowed name")
    if section.kind == "state" and not _is_of_state(path, head):
        raise BadBackup(f"{member[:200]!r} is not a file of the state")
    return section, path


def _is_of_state(path: list[str], head: Head) -> bool:
    if len(path) == 1:
        return path[0] in _STATE_FILES
    return head.has_secrets and len(path) == 3 and path[0] == "secrets" and is_data_name(path[1])


def _user(user: object) -> str | None:
    if user is None or (isinstance(user, str) and 0 < len(user) <= 100):
        return user
    raise TypeError
