"""The last moments of the process: threads that wait for something must not keep it alive.

What may block runs in threads (`Loop.run_blocking`), and a disk or a directory service can block
forever. Python waits for such threads when it ends, and so would whoever upgrades or restarts.
"""

import atexit
import os
import sys
import threading
import time
from typing import NoReturn


def wait_for_threads(within_s: float) -> list[str]:
    """Wait for the threads that would keep the process; return the names of those that still do."""
    deadline = time.monotonic() + within_s
    current = threading.current_thread()
    others = [each for each in threading.enumerate() if not each.daemon and each is not current]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    return sorted(thread.name for thread in others if thread.is_alive())


def leave(code: int) -> NoReturn:
    """End the process without its threads, but run what is registered for exit."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)
