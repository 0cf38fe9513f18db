"""Walks through folders that an app may have written, however deep it has nested them."""

import os
from collections.abc import Iterator


def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each folder below `top`, with the names of its folders and of all else that is in it.

    As `os.walk` of Python 3.12, which recursed before that. Links to folders are among the
    folders, and are not followed. Names that the caller removes from the folders are left out.
    Folders that cannot be read, or whose path is too long, are passed over.
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
    except OSError:  # a link in a circle
        return False
