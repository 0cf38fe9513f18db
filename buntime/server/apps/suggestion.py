"""What in a folder without an entrypoint may have been meant as one, for the message about it.

    shop/manage.py, shop/site/wsgi.py   ", such as `entrypoint: site/wsgi.py`"

Looks one folder deep, at a bounded number of names, and follows no links.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from buntime.core.apps.app import DEFAULT_ENTRYPOINTS, is_servable
from buntime.core.apps.versions import is_version
from buntime.core.values.regex import regex

# Files at the top of a project that are not entrypoints, though their names end like one.
_NOT_MEANT = frozenset(
    "404.html __init__.py conftest.py fabfile.py gunicorn.conf.py gunicorn_conf.py manage.py "
    "noxfile.py setup.py".split()
)
_SERVERS_OWN = ("wsgi.py", "asgi.py")  # made for servers, as Django does
# Where tools put sites, the finished ones first.
_BUILT = ("dist", "build", "out", "_site", "public")
_WITHOUT_APPS = frozenset(
    "__pycache__ docs env migrations node_modules static templates test tests vendor venv".split()
)
_IS_V = regex(r"v\d")
_LOOKED_AT = 1000  # names in a folder
_FOLDERS = 50  # to look into


def suggestion(folder: Path) -> str:
    """For a message about a missing entrypoint: `", such as …"`, or "" if nothing is like one."""
    with os.scandir(folder) as entries:
        found = sorted(islice(entries, _LOOKED_AT), key=lambda entry: entry.name)
    files = [each.name for each in found if each.is_file(follow_symlinks=False)]
    folders = [each.name for each in found if each.is_dir(follow_symlinks=False)]
    below = list(islice(_below(folder, folders), _FOLDERS))
    made_for_servers = [name for name in below if name.endswith(_SERVERS_OWN)]
    meant = [*made_for_servers, *filter(_is_meant, files), *below]
    odd = next(filter(is_odd_version, folders), "")
    if meant and not (odd and meant[0].startswith(f"{odd}/")):
        return f", such as `entrypoint: {meant[0]}`"
    if odd:
        return f"; {odd} is not a folder of a version, whose name is like 1.2.0: rename it"
    return ""


def is_odd_version(name: str) -> bool:
    """Whether a folder's name may be meant as a version, and is none: `"2.0"`, `"v1"`."""
    return (name[:1].isdigit() or bool(_IS_V.match(name))) and not is_version(name)


def _below(folder: Path, folders: Iterable[str]) -> Iterator[str]:
    """Files of folders in the folder, by the names that are entrypoints without a manifest."""
    looked_into = [name for name in folders if name[0] != "." and name not in _WITHOUT_APPS]
    looked_into.sort(key=lambda name: _BUILT.index(name) if name in _BUILT else len(_BUILT))
    for name in looked_into[:_FOLDERS]:
        for file in DEFAULT_ENTRYPOINTS:
            path = f"{name}/{file}"
            if os.path.isfile(folder / path) and not os.path.islink(folder / path):
                yield path


def _is_meant(name: str) -> bool:
    return is_servable(name) and name not in _NOT_MEANT and not name.startswith("test_")
