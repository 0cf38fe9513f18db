"""How large a folder of data is. For a thread: it waits for the disk."""

import os

_COUNTED_MAX = 200_000  # files of a folder
_GONE = (FileNotFoundError, NotADirectoryError)  # removed, or replaced, since it was seen


def size_of(root: str) -> tuple[int, int, bool]:
    """Files and bytes, and whether all were counted; files removed meanwhile are skipped."""
    files = size = 0
    folders, skipping = [root], _Skipping()
    while folders and files < _COUNTED_MAX:
        with skipping, os.scandir(folders.pop()) as entries:
            for entry in entries:
                with skipping:  # this one alone
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_size
                        files += 1
    return files, size, skipping.is_whole and not folders


class _Skipping:
    """Goes on after what cannot be read."""

    def __init__(self) -> None:
        self.is_whole = True  # nothing was skipped that is still there

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> bool:
        if not isinstance(exc, OSError):
            return False
        if not isinstance(exc, _GONE):
            self.is_whole = False
        return True
