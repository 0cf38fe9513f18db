"""Apps that write to their worker's channel, as no app should."""

# An app's code begins with this: `channel()` is the descriptor of its worker's channel.
CHANNEL = """
import os

def channel():
    for fd in range(3, 1024):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                return fd
        except OSError:
            pass
"""
