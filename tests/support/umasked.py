"""Imported by a forked runtime: it has a umask that no other has."""

import os

os.umask(0o027)
