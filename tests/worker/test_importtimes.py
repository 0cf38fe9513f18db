"""What a worker reports about how long its app's imports took."""

from __future__ import annotations

from typing import Any

from tests.support.workshop import Workshop

APP = "from buntime import Response\nimport slow\ndef fetch(request): return Response('')\n"
# Modules that take their time by computing, not by sleeping; they read the clock themselves.
SLOW = "import time\nend = time.perf_counter() + {}\nwhile time.perf_counter() < end: pass\n"
BEGUN = "import time\nbegun = time.perf_counter()\n"
TOOK = "took_ms = (time.perf_counter() - begun) * 1000\n"
ROUNDED_MS = 1  # at most ten times, each rounded to a tenth


def told(shop: Workshop, source: str, files: dict[str, str], **init: Any) -> dict[str, Any]:
    """The READY of an app with these files."""
    for name, text in files.items():
        path = shop.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return shop.boot(source, tells_imports=True, **init).ready()


def test_packages_by_their_own_time(shop: Workshop) -> None:
    """A package's time excludes what it imports from others, all its modules are one entry, and the
    slowest come first."""
    files = {
        "slow/__init__.py": "import slow.inner, inside\n" + SLOW.format(0.01),
        "slow/inner.py": SLOW.format(0.01),
        "inside.py": SLOW.format(0.1),
    }
    # On a busy machine each of them takes longer, so the total is measured too.
    timed = APP.replace("import slow", f"{BEGUN}import slow\n{TOOK}")
    for name, text in files.items():
        path = shop.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    worker = shop.boot(timed.replace("''", "str(took_ms)"), tells_imports=True)
    ready = worker.ready()
    imports = ready["imports"]
    times = {name: ms for name, ms, _ in imports}
    assert list(times.values()) == sorted(times.values(), reverse=True)
    assert times["inside"] >= 100
    assert times["slow"] >= 20
    # If one's time were counted for the other too, the sum would be 100 ms above the total.
    assert times["slow"] + times["inside"] <= float(worker.get().text) + ROUNDED_MS
    assert [count for name, _, count in imports if name == "slow"] == [2]
    assert sum(times.values()) <= ready["boot_ms"] + ROUNDED_MS
    assert len(imports) <= 10


def test_all_is_as_it_was(shop: Workshop) -> None:
    """Once the app has loaded, imports no longer go through our code."""
    source = """
    import traceback
    from buntime import Response
    def fetch(request):
        try:
            import broken
        except ZeroDivisionError:
            return Response(traceback.format_exc())
    """
    (shop.folder / "broken.py").write_text("1 / 0\n")
    worker = shop.boot(source, tells_imports=True)
    worker.ready()
    told = worker.get().text
    assert "broken.py" in told
    assert "importlib" not in told
    assert "importtimes" not in told


def test_an_app_that_does_not_load(shop: Workshop) -> None:
    """The stack begins in the app's own code, as usual; the error is its own."""
    (shop.folder / "broken.py").write_text("1 / 0\n")
    error = shop.boot("import broken\n", tells_imports=True).boot_error()
    assert "ZeroDivisionError" in error["message"]
    assert "importtimes" not in error["stack"]
    assert "importlib" not in error["stack"]
    assert error["stack"].count("File") == 2


def test_other_threads(shop: Workshop) -> None:
    """Imports of another thread are not counted for the boot, and disturb nothing."""
    files = {"aside.py": SLOW.format(0.02), "slow.py": SLOW.format(0.02)}
    source = (
        "import threading\nthreading.Thread(target=__import__, args=('aside',)).start()\n" + APP
    )
    names = [name for name, _, _ in told(shop, source, files)["imports"]]
    assert "slow" in names
    assert "aside" not in names


def test_nobody_asks(shop: Workshop) -> None:
    """If nobody asks nothing is measured, and nothing is loaded for it."""
    source = """
    import sys
    from buntime import Response
    def fetch(request): return Response(str("buntime.worker.importtimes" in sys.modules))
    """
    worker = shop.boot(source)
    assert "imports" not in worker.ready()
    assert worker.get().text == "False"
