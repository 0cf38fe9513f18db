"""What Python runs in buntime.pyz: it unpacks the runtime into a cache folder, and starts it there.

Any Python 3 can read this file, so that an old one gets a sentence instead of a SyntaxError.
"""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036  # said before anything newer is imported
    sys.exit("buntime: error: Python 3.11 or newer is needed, this is " + sys.version.split()[0])
if sys.platform == "win32":
    sys.exit("buntime: error: Windows is not supported: workers need Unix sockets and signals")

import zipimport

import unpack  # type: ignore[import-not-found]  # beside this file in the archive


def locate(archive: str) -> str:
    """The folder to import the runtime from: unpacked, or else in the archive itself."""
    loader = zipimport.zipimporter(archive)
    index = unpack.Index(loader.get_data("index.txt").decode())
    folders = unpack.cache_folders(os.environ, is_root=os.geteuid() == 0)
    paths = ["content/" + path for path, _, _ in index.files]
    try:
        return str(unpack.unpacked(index, lambda: map(loader.get_data, paths), folders))
    except unpack.Unusable:  # then it starts slowly; the runtime says which folders it cannot use
        return archive + "/content"


sys.path[0] = locate(os.path.abspath(sys.path[0]))

from buntime.__main__ import main  # noqa: E402  # found by the line above

if __name__ == "__main__":
    sys.exit(main("pyz"))
