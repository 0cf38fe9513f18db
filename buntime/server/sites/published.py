"""Lists what a site publishes, for `buntime check`: how much, and what looks like a mistake."""

from collections.abc import Iterator
from pathlib import Path

from buntime.core.apps.app import App
from buntime.core.sites.absolutelinks import absolute_links
from buntime.core.sites.publishing import is_doubtful, is_hidden, is_published
from buntime.core.values.tuples import NamedTuple
from buntime.server.defence.folderwalk import walk
from buntime.server.defence.regularfile import read_regular
from buntime.server.sites.sitefile import PAGE_MAX_BYTES

_FILES_MAX = 20_000  # about a second's walk; who publishes more knows it


class Published(NamedTuple):
    """The number of visible files, and the paths of those that probably should not be."""

    files: int
    doubtful: tuple[str, ...]


def list_published(app: App) -> Published:
    """What the site of a static app publishes; linked folders are not entered."""
    site = Path(app.entrypoint).parent.parts
    files, doubtful = 0, []
    folder = app.dir.joinpath(*site)
    root = folder.resolve()
    for path in _files(folder):
        if files == _FILES_MAX:
            break
        shown = path.relative_to(folder)
        if is_hidden(shown.parts):
            continue
        try:
            # Only links: what it takes to resolve a path grows with the square of its depth.
            real = path.resolve(strict=True) if path.is_symlink() else root / shown
            real = real.relative_to(app.dir)
        except (OSError, RuntimeError, ValueError):  # leads nowhere, or out of the folder
            continue
        code = app.manifest.entrypoint is not None
        if is_published(real.parts, site=site, code=code):
            files += 1
            if is_doubtful(path.name):
                doubtful.append(shown.as_posix())
    return Published(files, tuple(sorted(doubtful)))


def links_away(app: App) -> tuple[str, ...]:
    """Links of the entrypoint that leave the app's base."""
    if app.manifest.hosts:  # where it is at "/"
        return ()
    try:
        page, _ = read_regular(app.dir / app.entrypoint, PAGE_MAX_BYTES)
    except OSError:
        return ()
    return absolute_links(page, f"/{app.name}")


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in walk(str(folder)):
        folders[:] = [name for name in folders if not is_hidden([name]) or parent == str(folder)]
        yield from (Path(parent, name) for name in names)
