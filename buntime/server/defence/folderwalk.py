"""Walks through folders that an app may have written, however deep it has nested them."""

import os
from collections.abc import Iterator


def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each folder below `top`, with the names of its folders and of everything else in it.

    Like `os.walk` of Python 3.12; earlier versions recursed. Links to folders count as folders,
    and are not followed. If the caller removes names from the list of folders, those are skipped;
    so are folders that cannot be read or whose path is too long.
    """
    left = [top]
    while left:
        above = left.pop()
        folders: list[str] = []
        others: list[str] = []
        try:
            with os.scandir(above) as entries:
                for entry in entries:
                    (folders if _is_folder(entry) else others).append(entry.name)
        except OSError:
            continue
        yield above, folders, others
        inner = (os.path.join(above, name) for name in reversed(folders))
        left += (path for path in inner if not os.path.islink(path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False
