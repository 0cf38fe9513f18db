"""How large a folder of data is. For a thread: it waits for the disk."""

import os
from contextlib import suppress

_COUNTED_MAX = 200_000  # files of a folder


def size_of(root: str) -> tuple[int, int, bool]:
    """Files and bytes, and whether all were counted; files removed meanwhile are skipped."""
    files = size = 0
    folders = [root]
    while folders and files < _COUNTED_MAX:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with suppress(OSError):  # of this one alone
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
                        files += 1
    return files, size, not folders
