"""What is measured, of which contestants, and the bars. Each scenario is a table of the report."""

from __future__ import annotations

from bench.contestants import (
    BARE_LOOP,
    BARE_RELAY,
    FORMS,
    GRANIAN,
    GRANIAN_WSGI,
    GUNICORN,
    NGINX,
    UVICORN,
    UVICORN_2,
    Contestant,
    behind_nginx,
    buntime,
)
from bench.figures import (
    CONNECTIONS,
    EACH,
    P50,
    P99,
    RATE,
    RUNTIME,
    START,
    THROUGHPUT,
    WORKER,
    Bar,
    Direction,
)
from bench.fresh import at_rest, idle_connections, start_up
from bench.limits import spawn_rate
from bench.loads import (
    Among,
    Beside,
    Calls,
    Download,
    Echo,
    Get,
    Load,
    Many,
    Paced,
    Upload,
    get_static,
)
from bench.scenario import Entry, Scenario, computed, fresh, served
from bench.sites import FEW, FOLDERS, MANY
from bench.sizes import STATIC_LARGE_BYTES, STATIC_SMALL_BYTES


def forms(app: str, load: Load) -> tuple[Entry, ...]:
    """Buntime from the checkout, and from its built files."""
    return tuple(served(buntime(app, name=name, form=name), load) for name in FORMS)


def limited(load: Load) -> Entry:
    return served(BARE_LOOP, load)


def peers(load: Load, *contestants: Contestant) -> tuple[Entry, ...]:
    return tuple(served(contestant, load) for contestant in contestants)


def beside(apps: str, count: int) -> Entry:
    """The app `noop` beside this many apps, each with its worker."""
    contestant = buntime("noop", apps, name=f"buntime, {count} others")
    return served(contestant, Beside(count))


def among(app: str, count: int) -> Entry:
    """An app that has this many workers."""
    return served(buntime(app, name=f"buntime, {count} of its own"), Among(app, count))


def among_folders(apps: str, count: int) -> Entry:
    """The app `noop` among this many folders in all; nobody asks for the others."""
    return served(buntime("noop", apps, name=f"buntime, {count} folders"), NOOP)


def kept(app: str) -> Load:
    """A GET of an app that writes and reads something."""
    return Get(f"/{app}/", connections=10)


def hooked(plugin: str) -> Entry:
    """The app `noop`, with one hook called for each request."""
    return served(buntime("noop", plugins=(plugin,)), NOOP_1)


def equal_rate(who: str, of: str) -> Bar:
    """More workers or folders must not slow requests down."""
    return Bar(LEAST, 0.95, RATE, of, who=who)


SPAWNS = computed("bare spawns", lambda seconds: spawn_rate(2, seconds))
SPAWN = computed("bare spawn", lambda seconds: spawn_rate(1, seconds))
IDEAL = computed(
    "50 connections / 50 ms", lambda _: {"rate": 1000.0, "p50_ms": 50.0, "p99_ms": 50.0}
)
GUNICORN_NGINX = behind_nginx(GUNICORN)
UVICORN_NGINX = behind_nginx(UVICORN)
ALL = (UVICORN, UVICORN_NGINX, GUNICORN_NGINX, GRANIAN)
LEAST, MOST, ABOVE = Direction.AT_LEAST, Direction.AT_MOST, Direction.ABOVE
TIMES = (RATE, P50, P99)
NOOP, NOOP_1 = Get("/noop/"), Get("/noop/", connections=1)
VARIED = Get("/noop/", mode="varied")
SMALL = get_static("4kb.bin", STATIC_SMALL_BYTES, connections=50)
LARGE = get_static("10mb.bin", STATIC_LARGE_BYTES, connections=10)
FRESH = tuple(buntime("noop", name=name, form=name) for name in FORMS)
WARM_1 = served(buntime("noop"), NOOP_1, "buntime, warm-noop-1")
PREWARMED = buntime("prewarmed", name="buntime, prewarm: 1")
BUSY = served(
    buntime("prewarmed", "noop"),
    Paced("/prewarmed/", between="/noop/"),
    "buntime, prewarm: 1 among warm",
)
WARM_BUSY = served(buntime("noop"), Paced("/noop/", between="/noop/"), "buntime, warm among warm")
TRANSFER_BAR = Bar(LEAST, 0.35, THROUGHPUT, "bare relay")

SCENARIOS = (
    Scenario(
        "warm-noop",
        "a function that answers two bytes, 50 connections",
        TIMES,
        (*forms("noop", NOOP), limited(NOOP), *peers(NOOP, *ALL)),
        (
            Bar(LEAST, 1.15, RATE, "bare loop"),
            Bar(ABOVE, 1.0, RATE, "uvicorn h11"),
            Bar(LEAST, 3.0, RATE, "gunicorn behind nginx"),
        ),
        is_short=True,
    ),
    Scenario(
        "warm-varied",
        "the same, each request with another query: its line is new, its fields are known",
        TIMES,
        (served(buntime("noop"), VARIED), limited(VARIED), *peers(VARIED, UVICORN)),
        (Bar(LEAST, 0.95, RATE, "bare loop"), Bar(LEAST, 1.3, RATE, "uvicorn h11")),
    ),
    Scenario(
        "warm-noop-1",
        "the same as warm-noop on one connection: latency",
        (P50, P99, RATE),
        (*forms("noop", NOOP_1), limited(NOOP_1), *peers(NOOP_1, *ALL)),
        (Bar(MOST, 2.2, P50, "bare loop"),),
        is_short=True,
    ),
    Scenario(
        "wsgi-noop",
        "a WSGI app that answers two bytes, 50 connections",
        TIMES,
        (
            served(buntime("wsgi"), Get("/wsgi/")),
            limited(Get("/wsgi/")),
            *peers(Get("/wsgi/"), GUNICORN_NGINX, GRANIAN_WSGI),
        ),
    ),
    Scenario(
        "asgi-noop",
        "an ASGI app that answers two bytes, 50 connections",
        TIMES,
        (
            served(buntime("asgi"), Get("/asgi/")),
            limited(Get("/asgi/")),
            *peers(Get("/asgi/"), UVICORN, UVICORN_NGINX, GRANIAN),
        ),
    ),
    Scenario(
        "echo-1kb",
        "a function that answers the 1 KiB that it was sent, 50 connections; the bare loop's noop",
        TIMES,
        (served(buntime("echo"), Echo()), limited(NOOP), *peers(Echo(), *ALL)),
        (Bar(LEAST, 0.65, RATE, "bare loop"),),
    ),
    Scenario(
        "slow-50ms",
        "an async function that waits for 50 ms, 50 connections",
        TIMES,
        (
            served(buntime("slow"), Get("/slow/")),
            IDEAL,
            *peers(Get("/slow/"), UVICORN, GUNICORN_NGINX, GRANIAN),
        ),
        # 0.95 of 1000 requests a second. As a rate wrk would round it down: in 3 s each connection
        # completes 57 whole requests, whether they take 51.8 ms or 52.6.
        (Bar(MOST, 1.0526, P50, IDEAL.name),),
    ),
    Scenario(
        "cpu-1ms",
        "a function that computes for 1 ms, two workers, 50 connections",
        TIMES,
        (
            served(buntime("cpu"), Get("/cpu/")),
            served(buntime("cpu-async", name="buntime, async"), Get("/cpu-async/")),
            *peers(Get("/cpu/"), UVICORN_2),
        ),
        (
            Bar(LEAST, 0.90, RATE, UVICORN_2.name),
            Bar(LEAST, 0.90, RATE, UVICORN_2.name, who="buntime, async"),
        ),
    ),
    Scenario(
        "ephemeral-noop",
        "a new worker for each request, 10 connections",
        TIMES,
        (
            *forms("ephemeral", Get("/ephemeral/", connections=10)),
            served(PREWARMED, Get("/prewarmed/", connections=10)),
            SPAWNS,
        ),
        (Bar(LEAST, 0.60, RATE, "bare spawns"),),
        is_short=True,
    ),
    Scenario(
        "ephemeral-1",
        "a new worker for each request, one request each 100 ms: latency",
        (P50, P99),
        (
            served(buntime("ephemeral"), Paced("/ephemeral/")),
            BUSY,
            WARM_BUSY,
            served(PREWARMED, Paced("/prewarmed/")),
            WARM_1,
            served(buntime("noop"), Paced("/noop/"), "buntime, warm each 100 ms"),
            served(BARE_LOOP, NOOP_1, "bare loop, warm-noop-1"),
            served(BARE_LOOP, Paced("/noop/"), "bare loop each 100 ms"),
        ),
        (
            Bar(MOST, 6.0, P50),
            Bar(MOST, 4.0, P50, WARM_BUSY.name, who=BUSY.name),
        ),
    ),
    Scenario(
        "service-call",
        "a call of a plugin's service by an app, 100 in a row by each request; each is timed",
        (P50, P99),
        (served(buntime("calls", plugins=("store",)), Calls()), WARM_1),
        (Bar(MOST, 2.5, P50, WARM_1.name),),
    ),
    Scenario(
        "hook",
        "warm-noop-1 with one on_request hook in the way",
        (P50, P99, RATE),
        (hooked("look"), WARM_1),
        (Bar(MOST, 2.0, P50, WARM_1.name),),
    ),
    Scenario(
        "hook-kept",
        "the same with a hook whose verdict is kept (cache_s)",
        (P50, P99, RATE),
        (hooked("keep"), WARM_1),
        (Bar(MOST, 1.3, P50, WARM_1.name),),
    ),
    Scenario(
        "static-4kb",
        "a file of 4 KiB, 50 connections; the bare loop answers two bytes",
        TIMES,
        (served(buntime("site"), SMALL), limited(NOOP), *peers(SMALL, NGINX)),
        (Bar(ABOVE, 0.70, RATE, "bare loop"),),
        is_short=True,
    ),
    Scenario(
        "static-10mb",
        "a file of 10 MiB, 10 connections",
        (THROUGHPUT, P50, P99),
        (served(buntime("site"), LARGE), *peers(LARGE, NGINX)),
        (Bar(LEAST, 0.50, THROUGHPUT, "nginx"),),
    ),
    Scenario(
        "download-100mb",
        "100 MiB that a worker makes, one client",
        (THROUGHPUT,),
        (
            served(buntime("download"), Download()),
            served(BARE_RELAY, Download()),
            *peers(Download(), *ALL),
        ),
        (TRANSFER_BAR,),
    ),
    Scenario(
        "upload-100mb",
        "100 MiB that a worker reads, one client",
        (THROUGHPUT,),
        (
            served(buntime("upload"), Upload()),
            served(BARE_RELAY, Upload()),
            *peers(Upload(), *ALL),
        ),
        (TRANSFER_BAR,),
    ),
    Scenario(
        "connections-10k",
        "memory of idle keep-alive connections, each answered once",
        (EACH, CONNECTIONS),
        (fresh(FRESH[0], idle_connections), fresh(UVICORN, idle_connections)),
        (Bar(MOST, 8.0, EACH),),
    ),
    Scenario(
        "start-up",
        "from the start of the process to the first answer of an app",
        (START,),
        (
            *(fresh(contestant, start_up) for contestant in (*FRESH, UVICORN, GUNICORN, GRANIAN)),
            SPAWN,
        ),
        (Bar(MOST, 20.0, START, "bare spawn"),),
    ),
    Scenario(
        "many-apps",
        "200 apps that stay loaded, one at random, and one app; 10 connections",
        (P99, P50, RATE, RUNTIME, WORKER),
        (
            served(buntime("many", name="buntime, 200 apps"), Many()),
            served(buntime("one", name="buntime, 1 app"), Many(apps=1)),
        ),
        (Bar(MOST, 3.0, P99, "buntime, 1 app", who="buntime, 200 apps"),),
    ),
    Scenario(
        "many-workers",
        "warm-noop on 10 connections beside 200 idle workers, and 4 of the app's own 200 workers",
        TIMES,
        (
            beside("many", MANY),
            beside("few", FEW),
            among("crowd", MANY),
            among("handful", FEW),
        ),
        (
            equal_rate("buntime, 200 others", "buntime, 5 others"),
            equal_rate("buntime, 200 of its own", "buntime, 5 of its own"),
        ),
    ),
    Scenario(
        "many-folders",
        "warm-noop where 3,000 apps are installed, and where 3 are",
        TIMES,
        (among_folders("folders", FOLDERS), among_folders("pair", 3)),
        (equal_rate("buntime, 3000 folders", "buntime, 3 folders"),),
    ),
    Scenario(
        "keyval",
        "100 bytes set and got by the service kv, and by sqlite3 in an own file; 10 connections",
        TIMES,
        (
            served(buntime("keptbykv", name="buntime, keyval"), kept("keptbykv")),
            served(buntime("keptbyfile", name="buntime, sqlite3"), kept("keptbyfile")),
        ),
    ),
    Scenario(
        "at-rest",
        "memory of a runtime after one request, and of the worker that answered it",
        (RUNTIME, WORKER),
        tuple(fresh(contestant, at_rest) for contestant in FRESH),
        (Bar(MOST, 40.0, RUNTIME), Bar(MOST, 14.0, WORKER)),
    ),
)
