"""A program of the app: its output is in the app's log."""

import os
import sys

print(f"report of {os.environ['APP_DIR']} by Python {sys.version.partition(' ')[0]}")
