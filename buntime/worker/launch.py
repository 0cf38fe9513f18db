"""What a worker's interpreter runs: the bundle folder holds this file as its `__main__.py`.

It is compiled at each start, so it is short; start.py goes on. Both `python BUNDLE …` and
`python BUNDLE/__main__.py …` work; the latter spares the interpreter runpy and what that imports,
8 ms of CPU on 3.11 and 20 ms on 3.9.
"""

from _frozen_importlib_external import MAGIC_NUMBER
from marshal import loads

bundle = __file__.rpartition("/")[0]
cache = f"{bundle}/modules-{MAGIC_NUMBER.hex()}.bin"
try:
    with open(cache, "rb") as file:
        code, modules = loads(file.read())
except (OSError, EOFError, TypeError, ValueError):  # not there yet, or damaged: see start.py
    with open(f"{bundle}/buntime/worker/start.py", "rb") as file:
        code, modules = compile(file.read(), file.name, "exec"), None
scope = {"__name__": "buntime.worker.start"}
exec(code, scope)
scope["start"](bundle, cache, code, modules)  # type: ignore[operator]  # put there by exec
