"""Which files in an app's folder are its code, so that a change to one changes the app.

    app.py, lib/shop.py, native.so         code
    templates/page.html, style.css         read once by code, and kept
    settings.toml, .env, requirements.txt  settings
    uploads/1.json, state.json, notes.txt  data: what an app writes while it runs
    data/rates.json, imported by a loader  code after all, since a worker has reported it

The manifest's `watch` adds files, and excludes some ("!uploads/**"); excluded files stay excluded.
Paths are relative to the app's folder, with "/" between their segments.
"""

from collections.abc import Collection, Iterable

from buntime.core.access.paths import inner_path
from buntime.core.access.publicroutes import Patterns

# What authors write and programs do not. JSON, CSV, text and pictures are just as often data.
_CODE = "py pyi pyx pyd so pth"
_TEMPLATES = (
    "html htm xhtml jinja jinja2 j2 mako mak tmpl tpl pt liquid mustache hbs djhtml "
    "css scss sass less js mjs ts jsx tsx vue svelte mo po graphql gql proto"
)
_SETTINGS = "toml ini cfg conf yaml yml sql"
_SUFFIXES = frozenset(f"{_CODE} {_TEMPLATES} {_SETTINGS}".split())
_LISTS = ("requirements", "pylock", "uv", "poetry", "pdm", "pipfile")  # package lists and locks
# Environments, caches and what tools keep for themselves; so are all dotfolders.
_SKIPPED_FOLDERS = frozenset((".venv", "venv", "node_modules", "__pycache__"))
IMPORTED_MAX = 4096  # files that a worker may report
_PATH_MAX_CHARS = 1024


class Watching:
    """The rule of one app; two rules from the same manifest keys are equal."""

    __slots__ = ("_added", "_left_out", "imported")

    def __init__(self, patterns: Iterable[str] = (), imported: Collection[str] = ()) -> None:
        """`patterns` come from `watch`; `imported` are files that a worker has imported."""
        patterns = tuple(patterns)
        self.imported = frozenset(path for path in imported if _is_of_the_app(path))
        self._added = Patterns([_rooted(each) for each in patterns if each[0] != "!"])
        self._left_out = Patterns([_rooted(each[1:]) for each in patterns if each[0] == "!"])

    def __repr__(self) -> str:
        return f"Watching({len(self.imported)} imported)"

    def covers(self, path: str) -> bool:
        """Whether a path is part of the code: `"lib/shop.py"` -> True."""
        return not self._left_out.cover(f"/{path}") and (
            path in self.imported or _is_written(path) or self._added.cover(f"/{path}")
        )

    def enters(self, folder: str) -> bool:
        """Whether a folder may contain code: `"lib/deep"` -> True."""
        return not (_is_skipped(folder.rpartition("/")[2]) or self._left_out.cover(f"/{folder}/"))


def checked_imports(files: object) -> tuple[str, ...]:
    """The files that a worker reports as imported. Raises ValueError, because workers are not
    trusted."""
    if not isinstance(files, list) or len(files) > IMPORTED_MAX:
        raise ValueError("imported files that are not a list, or too many")
    for path in files:
        if type(path) is not str or not 0 < len(path) <= _PATH_MAX_CHARS:
            raise ValueError("an imported file that is not a path")
    return tuple(files)


def _is_of_the_app(path: str) -> bool:
    *folders, _ = path.split("/")
    is_inside = inner_path(path) == path
    return is_inside and "site-packages" not in folders and not any(map(_is_skipped, folders))


def _is_written(path: str) -> bool:
    """Whether a file's name is that of something authors write."""
    # No regular expression: compiling one of all suffixes took 5 ms of the runtime's start-up.
    name = path.rpartition("/")[2].lower()
    stem, _, suffix = name.rpartition(".")
    if suffix in _SUFFIXES:
        return stem[:1] not in ("", ".")
    return name == ".env" or (suffix in ("txt", "lock") and stem.startswith(_LISTS))


def _is_skipped(name: str) -> bool:
    return name in _SKIPPED_FOLDERS or name[:1] == "."


def _rooted(pattern: str) -> str:
    """`"*.json"` applies in every folder, as in .gitignore; `"data/*.json"` only in that one."""
    return f"/**/{pattern}" if "/" not in pattern else f"/{pattern.lstrip('/')}"
