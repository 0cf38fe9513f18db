"""Packs a release again, as it was in its archive. Imported only when needed."""

import os
import tarfile
import tempfile
from typing import IO

from buntime.core.errors import ClientFault
from buntime.server.deploys.records import read_files
from buntime.server.deploys.store import Store


def pack(store: Store, app: str, version: str) -> IO[bytes]:
    """A tar.gz of the files that a deploy has brought, in a file without a name. In a thread.

    The caller closes it. Files that were added to the folder since are left out. Raises ClientFault
    (404) and OSError.
    """
    folder = store.release_at(app, version)
    if folder is None:
        raise ClientFault(404, "version_not_found", f"no deploy has made {app}@{version}")
    release = os.path.join(store.folder_of(app), folder)
    packed = tempfile.TemporaryFile(dir=store.folder_of_uploads)  # noqa: SIM115  # see above
    try:
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as archive:
            for name in sorted(read_files(release)):
                archive.add(os.path.join(release, name), name, recursive=False, filter=_plain)
    except BaseException:
        packed.close()
        raise
    return packed


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without anything that identifies this machine."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
