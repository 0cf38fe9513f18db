"""The plugins and example apps that come with Buntime, in each of its forms.

If Buntime is installed, they are in its own package (`carried/`), otherwise beside it. The .pyz and
the binary have unpacked them with the rest, where no other user can write. A .pyz that found no
such folder runs as an archive; plugins are then copied out of it.
"""

from functools import lru_cache
from pathlib import Path

import buntime

_PACKAGE = Path(buntime.__file__).parent
_CARRIED = "carried"  # in a wheel, see pyproject.toml


def carried_plugins() -> Path:
    """The plugins' folder; it may be missing. Raises OSError if it cannot be copied anywhere."""
    return _plugins_of(_PACKAGE)


def carried_apps() -> Path:
    """The folder of the example apps; it may be missing, or be in an archive."""
    return _carried_by(_PACKAGE) / "apps"


def _carried_by(package: Path) -> Path:
    """The folder of both. Beside an installed package, `plugins` would be somebody else's."""
    inside = package / _CARRIED
    return inside if inside.is_dir() else package.parent


@lru_cache(maxsize=1)
def _plugins_of(package: Path) -> Path:
    folder = _carried_by(package) / "plugins"
    if package.is_dir():
        return folder
    # Loads zipfile and tempfile; hardly any start comes here.
    from buntime.server.bundle.archive import copied_out

    return copied_out(folder)
