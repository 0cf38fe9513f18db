"""INIT to READY, or to the ERROR that says why not."""

import json
import marshal
from importlib.util import MAGIC_NUMBER

import pytest

from tests.support.workshop import Workshop

DUMP = """
import json, os, sys
from buntime import Response

def fetch(request):
    return Response.json({
        "env": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv, "path": sys.path,
        "name": __name__, "main": sorted(vars(sys.modules["__main__"])), "prefix": sys.prefix,
        "exit": repr(exit), "first": sys.modules["buntime"].__file__,
    })
"""


def test_ready_tells_kind_and_concurrency(shop: Workshop) -> None:
    """READY says the kind, how many requests may run at once, and how long the boot took."""
    worker = shop.boot(DUMP)
    ready = worker.ready()
    assert (ready["kind"], ready["concurrency"], ready["is_async"]) == ("fetch", 8, False)
    assert 0 < ready["boot_ms"] < 10_000


def test_concurrency_is_the_runtime_s(shop: Workshop) -> None:
    """A concurrency in INIT overrides the default."""
    assert shop.boot(DUMP, concurrency=3).ready()["concurrency"] == 3


def test_low_memory_means_one_thread(shop: Workshop) -> None:
    """With lowMemory a sync app handles one request at a time."""
    assert shop.boot(DUMP, config={"ttl": 60, "lowMemory": True}).ready()["concurrency"] == 1


def test_worker_of_one_request_has_one_thread(shop: Workshop) -> None:
    """With ttl 0 no thread besides the handler's is started, whatever `concurrency` says."""
    code = """
    import os
    from buntime import Response

    def fetch(request):
        return Response.json(len(os.listdir("/proc/self/task")))  # Linux
    """
    worker = shop.boot(code, config={"ttl": 0}, concurrency=4)
    assert worker.ready()["concurrency"] == 1
    assert worker.get().json == 1


def test_async_app_takes_more(shop: Workshop) -> None:
    """An async handler makes the app async, with 100 requests at once."""
    ready = shop.boot("async def fetch(request): ...").ready()
    assert (ready["concurrency"], ready["is_async"]) == (100, True)


def test_request_may_come_with_init(shop: Workshop) -> None:
    """INIT and REQUEST may be sent back to back, before READY."""
    shop.write(DUMP)
    worker = shop.spare()
    worker.init()
    number = worker.request()
    worker.ready()
    assert worker.answer(number).status == 200


def test_surroundings_are_the_app_s(shop: Workshop) -> None:
    """Environment, folder, argv, path and __main__ are as if the app had been started directly."""
    (shop.folder / "vendor").mkdir()
    worker = shop.start(DUMP, env={"APP_DIR": "x", "TZ": "UTC"}, path=["/opt/lib"], prefix="/venv")
    seen = worker.get().json
    assert seen["env"].items() >= {"APP_DIR": "x", "TZ": "UTC"}.items()
    assert set(seen["env"]) <= {"APP_DIR", "TZ", "LC_CTYPE"}
    assert seen["cwd"] == str(shop.folder)
    assert seen["argv"] == [str(shop.folder / "app.py")]
    assert seen["path"][:2] == [str(shop.folder), str(shop.folder / "vendor")]
    assert seen["path"][-2:] == ["/opt/lib", str(shop.bundle)]
    names = ["builtins", "doc", "loader", "name", "package", "spec"]
    assert seen["main"] == [f"__{name}__" for name in names]
    assert seen["prefix"] == "/venv"
    assert "exit()" in seen["exit"]


def test_bundle_may_be_run_as_a_folder(shop: Workshop) -> None:
    """`python BUNDLE` works like `python BUNDLE/__main__.py`, but is slower."""
    shop.launched = shop.bundle
    assert shop.start(DUMP).get().json["path"][-1] == str(shop.bundle)


# Those of this Python: other tested versions have theirs in the same bundle.
MODULES_FILE = f"modules-{MAGIC_NUMBER.hex()}.bin"
MODULES = """
import importlib.util, inspect, sys
import buntime
from buntime import Response
def path_of(module):
    return str(vars(module).get("__path__"))
def fetch(request):
    return Response.json({
        "modules": {
            name: [
                module.__file__, module.__package__, module.__spec__.name, path_of(module),
                str(type(module)),
            ]
            for name, module in sys.modules.items() if name.split(".")[0] == "buntime"
        },
        "children": sorted(name for name in vars(buntime) if name in ("worker", "wire", "message")),
        "spec": importlib.util.find_spec("buntime").origin,
        "source": inspect.getsource(Response)[:15],
    })
"""


def test_later_workers_load_what_the_first_has_imported(shop: Workshop) -> None:
    """The first worker writes the modules into one file; modules loaded from it look the same."""
    first = shop.start(MODULES).get().json
    cache = shop.bundle / MODULES_FILE
    written = cache.stat().st_mtime_ns
    assert shop.start(MODULES).get().json == first
    assert cache.stat().st_mtime_ns == written
    assert first["modules"]["buntime.worker.main"][0] == str(shop.bundle / "buntime/worker/main.py")
    assert first["source"] == "class Response:"


@pytest.mark.parametrize("damage", [b"", b"\xe3", b"no marshal data", b"cut"])
def test_a_damaged_file_of_modules_is_made_anew(shop: Workshop, damage: bytes) -> None:
    """If the file cannot be loaded the modules are imported, and written once more."""
    shop.start(MODULES)
    cache = shop.bundle / MODULES_FILE
    whole = cache.read_bytes()
    cache.write_bytes(whole[: len(whole) // 2] if damage == b"cut" else damage)
    assert shop.start(MODULES).get().json["source"] == "class Response:"
    names = [name for name, _ in marshal.loads(cache.read_bytes())[1]]
    assert names == [name for name, _ in marshal.loads(whole)[1]]


def test_time_zone_is_taken(shop: Workshop) -> None:
    """TZ in the app's environment applies from the first import."""
    source = """
    import time
    from buntime import Response
    ZONE = time.strftime("%z", time.localtime(0))
    def fetch(request):
        return Response(ZONE)
    """
    assert shop.start(source, env={"TZ": "Etc/GMT-3"}).get().text == "+0300"


def test_environment_is_the_apps_alone(shop: Workshop) -> None:
    """Python code, C code and programs see the environment from INIT, and nothing of the worker's
    own."""
    source = """
    import ctypes, os, subprocess
    from buntime import Response
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    def fetch(request):
        told = subprocess.run(["/usr/bin/env"], stdout=subprocess.PIPE, check=True).stdout
        return Response.json({
            "python": dict(os.environ),
            "c": [(getenv(name) or b"").decode() for name in (b"GREETING", b"PATH", b"LC_CTYPE")],
            "programs": sorted(told.decode().splitlines()),
        })
    """
    env = {"GREETING": "grüß Gott=2", "EMPTY": ""}
    seen = shop.start(source, env=env).get().json
    assert seen["python"] == env
    assert seen["c"] == ["grüß Gott=2", "", ""]
    assert seen["programs"] == ["EMPTY=", "GREETING=grüß Gott=2"]


def test_own_packages_are_not_shadowed(shop: Workshop) -> None:
    """An app's own `worker` and `plugins` packages are what it imports by these names."""
    shop.write("X = 'plugins'", "plugins/__init__.py")
    shop.write("X = 'worker'", "worker/__init__.py")
    source = """
    import plugins, worker
    from buntime import Response
    def fetch(request):
        return Response(plugins.X + worker.X)
    """
    assert shop.start(source).get().text == "pluginsworker"


def test_vendor_is_importable(shop: Workshop) -> None:
    """The packages in vendor/ can be imported, and the app's own folder takes precedence."""
    shop.write("X = 'vendor'", "vendor/lib.py")
    source = """
    import lib
    from buntime import Response
    def fetch(request):
        return Response(lib.X)
    """
    assert shop.start(source).get().text == "vendor"


@pytest.mark.parametrize(
    ("entrypoint", "name"),
    [
        ("app.py", "app"),
        ("src/app.py", "src.app"),
        ("my-app.py", "_app_my_app_py"),
        ("os.py", "_app_os_py"),
        ("site.py", None),  # frozen into some interpreters
        ("email/app.py", None),  # a package of the standard library, hidden by a plain folder
        ("run", "_app_run"),
    ],
)
def test_module_names(shop: Workshop, entrypoint: str, name: str | None) -> None:
    """An entrypoint is imported by its natural name, or by another if that is taken."""
    seen = shop.start(DUMP, entrypoint=entrypoint).get().json
    assert name is None or seen["name"] == name


def test_package_of_the_entrypoint_s_name(shop: Workshop) -> None:
    """A package beside the entrypoint with the same name does not hide it."""
    shop.write("raise RuntimeError('the package')", "app/__init__.py")
    assert shop.start(DUMP).get().json["name"] == "_app_app_py"


def test_relative_imports(shop: Workshop) -> None:
    """An entrypoint in a package can import its siblings relatively."""
    shop.write("X = 'sibling'", "src/other.py")
    source = """
    from buntime import Response
    from .other import X
    def fetch(request):
        return Response(X)
    """
    assert shop.start(source, entrypoint="src/app.py").get().text == "sibling"


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_multiprocessing(shop: Workshop, method: str) -> None:
    """An app can use multiprocessing; its children run neither the worker nor the app again."""
    source = f"""
    import multiprocessing
    from buntime import Response
    def double(n):
        return 2 * n
    def fetch(request):
        with multiprocessing.get_context({method!r}).Pool(1) as pool:
            return Response(str(pool.map(double, [1, 2])))
    """
    worker = shop.start(source)
    answer = worker.get()
    assert (answer.text, answer.error) == ("[2, 4]", None)
    assert worker.terminate() == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nowhere", "app.py: ModuleNotFoundError: No module named 'nowhere'"),
        ("x = (", "app.py: SyntaxError: "),
        ("import sys; sys.exit(3)", "app.py: SystemExit: 3 (the module called sys.exit()"),
        ("exit('done')", "app.py: SystemExit: done"),
        ("raise KeyboardInterrupt", "app.py: KeyboardInterrupt"),
        ("class E(BaseException): pass\nraise E('x')", "app.py: E: x"),
        ("class E(Exception):\n def __str__(s): 1/0\nraise E", "app.py: E: <its __str__ raised"),
    ],
)
def test_import_that_fails(shop: Workshop, source: str, message: str) -> None:
    """A module that cannot be imported is an ERROR with the reason and the app's own stack."""
    shop.forks = True  # what the app has counts, not how its worker starts
    error = shop.boot(source).boot_error()
    assert error["message"].startswith(message)
    assert "app.py" in error["stack"]
    assert "buntime/worker" not in error["stack"]
    assert "importlib" not in error["stack"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "looked for fetch (a function that takes a Request), routes (a dict), app or"),
        ("x = 1", "none of them is there"),
        ("fetch = 'no'", "fetch is a str, which cannot be called"),
        ("def fetch(): ...", "fetch must take one argument, the request; it takes 0: ()"),
        ("def fetch(a, b): ...", "it takes 2: (a, b)"),
        ("routes = []", "routes is a list, not a dict with entries"),
        ("routes = {}", "routes is a dict, not a dict with entries"),
        ("app = 3", "app is an int, which cannot be called"),
        ("fetch = 1\napp = 2", "fetch is an int, which cannot be called; app is an int"),
        ("def app(scope): ...", "app takes one argument (scope): ASGI 2 apps are not served"),
        ("async def app(request): ...", "must be named fetch"),
        ("def app(a, *, b): ...", "app takes one argument (a): ASGI 2 apps are not served"),
        ("def app(a, b, c, d): ...", "whose arguments do not show whether it is ASGI"),
        ("def fetch(r): ...\non_idle = 1", "on_idle must be a function without arguments"),
        ("def fetch(r): ...\ndef on_terminate(x): ...", "on_terminate must be a function without"),
    ],
)
def test_nothing_to_serve(shop: Workshop, source: str, message: str) -> None:
    """A module that serves nothing is an ERROR that says what was looked for and what was found."""
    shop.forks = True  # what the app has counts, not how its worker starts
    error = shop.boot(source).boot_error()
    assert error["message"].startswith("app.py: ")
    assert message in error["message"]
    assert error["stack"] == ""


CHOSEN = """
    class App:
        def __call__(self, environ, start_response):
            start_response("200 OK", [])
            return [b"chosen"]
    server = App()
    class Site:
        inner = server
    site = Site()
    table = {"/": lambda request: None}
    number = 3
    def create_app():
        return server
    async def create_late():
        return server
    def broken():
        raise LookupError("no database")
    def unclear(one, two, three, four):
        return server
"""


@pytest.mark.parametrize("serves", ["server", "site.inner", "create_app()", "Site.inner", "App()"])
def test_what_is_served_can_be_chosen(shop: Workshop, serves: str) -> None:
    """The manifest may name what the module serves, and have it called to create the app."""
    shop.forks = True  # what the app has counts, not how its worker starts
    assert shop.start(CHOSEN, serves=serves).get().text == "chosen"


def test_routes_can_be_chosen(shop: Workshop) -> None:
    """It may also name routes."""
    assert shop.start(CHOSEN, serves="table").ready


@pytest.mark.parametrize(
    ("serves", "message"),
    [
        ("gone", "app.py has no gone; it has server (an App), create_app() (a function): say"),
        ("gone", "say `entrypoint: app.py:server` to serve it"),
        ("site.gone", "app.py has no site.gone"),
        ("number", "app.py: number is an int, which cannot be called"),
        ("number()", "app.py: number is an int; leave out the ()"),
        ("create_late()", "app.py: create_late is async; the app must be made by a plain function"),
        ("create_app", "needs no arguments; if it makes the app, write `entrypoint` with "),
        ("create_app", "`entrypoint` with create_app()"),
        ("unclear", "app.py: unclear is a function whose arguments do not show"),
        ("broken()", "app.py: LookupError: no database"),
        ("", "none of them is there; it has server (an App), create_app() (a function): say"),
    ],
)
def test_what_cannot_be_served(shop: Workshop, serves: str, message: str) -> None:
    """A wrong choice is an error that lists what the module has."""
    shop.forks = True  # what the app has counts, not how its worker starts
    assert message in shop.boot(CHOSEN, serves=serves).boot_error()["message"]


@pytest.mark.parametrize(
    ("source", "then"),
    [
        ("def fetch(request): ...", "; correct what `entrypoint` in buntime.yaml names after the"),
        ("def my_app(environ, start_response): ...", "it has my_app (a function): say"),
        ("async def other(scope, receive, send): ...", "it has other (a function): say"),
    ],
)
def test_a_name_that_is_not_there(shop: Workshop, source: str, then: str) -> None:
    """Besides the name, the error says what to write, or at least where."""
    message = shop.boot(source, serves="server").boot_error()["message"]
    assert message.startswith("app.py has no server")
    assert then in message


@pytest.mark.parametrize(
    ("module", "name"),
    [("tornado/web.py", "tornado.web"), ("aiohttp/web_app.py", "aiohttp.web_app")],
)
def test_apps_with_servers_of_their_own(shop: Workshop, module: str, name: str) -> None:
    """An app that only its framework's server can serve gets an error that says so."""
    shop.write("class Application:\n    def __call__(self, request): ...", f"vendor/{module}")
    source = f"from {name} import Application\nclass Shop(Application): ...\napp = Shop()"
    error = shop.boot(source).boot_error()["message"]
    assert f"app is {name}.Application, which is neither ASGI nor WSGI" in error
    assert "say `entrypoint" not in error


def test_roots(shop: Workshop) -> None:
    """Modules in import roots are imported by their names there, including the entrypoint."""
    shop.write("X = 'lib'", "lib/shelf.py")
    shop.write("import app", "src/other.py")
    source = """
        import other, shelf
        from buntime import Response
        def fetch(request):
            return Response.json([__name__, vars(other.app) is globals(), shelf.X])
    """
    roots = ["src", str(shop.folder / "lib")]
    answer = shop.start(source, entrypoint="src/app.py", roots=roots).get()
    assert answer.json == ["app", True, "lib"]


def test_an_entrypoint_that_is_a_package(shop: Workshop) -> None:
    """`shop/__init__.py` is `shop`, and its modules can be imported relatively."""
    shop.write("X = 'part'", "shop/part.py")
    source = """
        from .part import X
        from buntime import Response
        def fetch(request):
            return Response.json([__name__, __package__, X])
    """
    answer = shop.start(source, entrypoint="shop/__init__.py").get()
    assert answer.json == ["shop", "shop", "part"]


def test_editable_packages_are_found(shop: Workshop) -> None:
    """A package installed as editable, which setuptools finds with a hook, can be imported."""
    shop.write("X = 'edited'", "elsewhere/edited.py")
    where = str(shop.folder / "elsewhere/edited.py")
    hook = f"""
        import sys
        from importlib.util import spec_from_file_location
        class Finder:
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                return spec_from_file_location(name, {where!r}) if name == "edited" else None
        def install():
            sys.meta_path.append(Finder)
    """
    shop.write(hook, "packages/__editable___edited_1_0_finder.py")
    source = """
        from edited import X
        from buntime import Response
        def fetch(request):
            return Response(X)
    """
    worker = shop.start(
        source, path=[str(shop.folder / "packages")], hooks=["__editable___edited_1_0_finder"]
    )
    assert worker.get().text == "edited"


def test_missing_entrypoint(shop: Workshop) -> None:
    """A missing entrypoint is named."""
    worker = shop.spare()
    worker.init("gone.py")
    assert "gone.py: there is no such file in" in worker.boot_error()["message"]


def test_shadowed_app_is_told(shop: Workshop) -> None:
    """If a helper called fetch keeps an app from being served, stderr says so."""
    worker = shop.start("def fetch(url): ...\ndef app(environ, start_response): ...")
    assert "fetch is served, app is not" in worker.stderr


def test_output_is_by_lines(shop: Workshop) -> None:
    """What an app prints is there at once, whatever its characters."""
    source = """
    from buntime import Response
    print("loaded \\ud800")
    def fetch(request):
        print("asked")
        return Response("ok")
    """
    worker = shop.start(source)
    assert worker.stdout == "loaded \\ud800\n"
    worker.get()
    assert worker.stdout.endswith("asked\n")


def test_spare_ends_with_terminate(shop: Workshop) -> None:
    """A spare that is no longer wanted exits with code 0."""
    assert shop.spare().terminate() == 0


def test_start_is_cheap(shop: Workshop) -> None:
    """Before INIT nothing expensive is imported that some apps do not need."""
    source = """
    import sys
    BEFORE = sorted(sys.modules)
    from buntime import Response
    def fetch(request):
        return Response.json(BEFORE)
    """
    loaded = set(json.loads(shop.start(source).get().body))
    dear = """
        __future__ asyncio collections contextlib contextvars dataclasses enum functools
        importlib.util inspect json logging os pathlib re select socket subprocess threading
        traceback typing urllib.parse
    """
    assert loaded.isdisjoint(dear.split())


def test_garbage_ends_the_worker(shop: Workshop) -> None:
    """A runtime that breaks the protocol loses its worker, and finds the reason on its stderr."""
    worker = shop.spare()
    worker.socket.sendall(b"nonsense\n")
    assert worker.process.wait(20) == 1
    assert "not a JSON line" in worker.stderr
