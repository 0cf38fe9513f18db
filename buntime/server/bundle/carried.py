"""The plugins and example apps that come with Buntime, in each of its forms.

Where it is installed they lie in its own package (`carried/`), else beside it. The .pyz and the
binary have unpacked them with the rest, where no other user can write. A .pyz that found no such
folder runs as an archive; plugins are copied out of it then.
"""

from functools import lru_cache
from pathlib import Path

import buntime

_PACKAGE = Path(buntime.__file__).parent
_CARRIED = "carried"  # of a wheel, see pyproject.toml


def carried_plugins() -> Path:
    """Their folder; it may be missing. Raises OSError where there is no place to copy it to."""
    return _plugins_of(_PACKAGE)


def carried_apps() -> Path:
    """The folder of the example apps; it may be missing, or lie in an archive."""
    return _carried_by(_PACKAGE) / "apps"


def _carried_by(package: Path) -> Path:
    """Where both lie. Beside an installed package `plugins` would be somebody else's."""
    inside = package / _CARRIED
    return inside if inside.is_dir() else package.parent


@lru_cache(maxsize=1)
def _plugins_of(package: Path) -> Path:
    folder = _carried_by(package) / "plugins"
    if package.is_dir():
        return folder
    # Brings zipfile and tempfile; hardly a start comes here.
    from buntime.server.bundle.archive import copied_out

    return copied_out(folder)
