"""The plugins that come with Buntime: they lie beside its own package, in each of its forms.

The .pyz and the binary have unpacked them with the rest, where no other user can write. A .pyz that
found no such folder runs as an archive; they are copied out of it then.
"""

from functools import lru_cache
from pathlib import Path

import buntime

_PACKAGE = Path(buntime.__file__).parent


def carried_plugins() -> Path:
    """Their folder; it may be missing. Raises OSError where there is no place to copy it to."""
    return _plugins_beside(_PACKAGE)


@lru_cache(maxsize=1)
def _plugins_beside(package: Path) -> Path:
    folder = package.parent / "plugins"
    if package.is_dir():
        return folder
    # Brings zipfile and tempfile; hardly a start comes here.
    from buntime.server.bundle.archive import copied_out

    return copied_out(folder)
