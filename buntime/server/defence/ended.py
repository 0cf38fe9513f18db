"""Whether a child process has ended, without reaping it.

Until it is reaped its number cannot belong to another process or group, so what it has left behind
in its group can be killed.
"""

import os

if hasattr(os, "waitid"):

    def has_ended(pid: int) -> bool:
        """Raises ChildProcessError for what is no child, or has been reaped."""
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

else:  # Python before 3.13 on macOS
    from buntime.server.defence import libcended

    has_ended = libcended.has_ended
