"""The state folder, `RUNTIME_STATE_DIR`: what must outlive the runtime lies here.

    STATE/                 0711, as users of apps pass through it to their own
      local.key            see admin/localkey.py
      plugins.json         see plugins/switches.py
      data/                see datafolders.py
      tmp-3f2a81c0/        see sandbox/scratch.py

It, the folders above and links that lead to it are the runtime's user's or root's, and nobody else
can write there.
"""

import os

from buntime.server.bundle.cachefolder import prepare_cache


def prepare_state(folder: str, *, is_shared: bool = False) -> str:
    """Make the folder if need be; says why nothing can be kept in it, or nothing. Raises OSError.

    `is_shared`: users of apps must be able to pass through it, and through those above it.
    """
    is_new = not os.path.exists(folder)
    reason = prepare_cache(folder, is_shared=is_shared)
    if is_new and not reason:
        os.chmod(folder, 0o711)
    return reason
