"""What a start leaves out is imported soon after it."""

import subprocess
import sys

SCRIPT = """
import sys
from buntime.server.lifetime import laterimports
from buntime.server.loop.loop import Loop

def report():
    print(*[name in sys.modules for name in laterimports._MODULES])

def fail(exc):
    raise exc

laterimports._FIRST_S = laterimports._PAUSE_S = 0.01
loop = Loop(fail)
laterimports.import_later(loop)
report()
loop.call_later(0.01 * (len(laterimports._MODULES) + 1), loop.stop)
loop.run()
loop.close()
report()
"""


def test_modules_are_imported_by_the_loop() -> None:
    """None of them is there before the loop turns, and all are a moment later."""
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, after = (line.split() for line in done.stdout.splitlines())
    assert set(before) == {"False"}
    assert set(after) == {"True"}
