"""The table of a manifest's keys: the parser, what workers see of the manifest, the docs and their
test are made from it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from buntime.core.apps.hosts import parse_hosts
from buntime.core.apps.manifestvalues import (
    entrypoint,
    folders_below,
    paths,
    plain_text,
    processors,
    routes,
    routes_dump,
    sandbox_level,
    seconds_dump,
    service_names,
    variables,
    variables_dump,
    watched,
    workers,
)
from buntime.core.values.kinds import (
    Parser,
    duration,
    one_of,
    size,
    user_name,
    whole_number,
    yes_or_no,
)


class Key(NamedTuple):
    """One row of the table. `default` is what one would write in the file, None for nothing."""

    name: str
    field: str
    kind: str  # in words
    parse: Parser
    default: object
    meaning: str
    default_words: str = ""  # where the value says little
    dump: Callable[[Any], object] = lambda value: value  # to JSON, for the worker
    is_verbatim: bool = False  # scalars stay as they are written: 3.10 is no 3.1

    @property
    def default_text(self) -> str:
        return self.default_words or str(self.default)


_COUNT = whole_number(1)

KEYS = (
    Key(
        "entrypoint",
        "entrypoint",
        "path",
        entrypoint,
        None,
        "file that is run (.py) or served (.html), inside the app's folder, links resolved; "
        "`app.py:server`, `shop.wsgi:application`, `app.py:create_app()` say what of it is served",
        "the first of `index.html`, `index.py`, `app.py`, `main.py`, `wsgi.py`, `asgi.py`",
    ),
    Key(
        "timeout",
        "timeout_s",
        "duration",
        duration(),
        "30s",
        "until the response starts, then between two pieces of it",
        dump=seconds_dump,
    ),
    Key(
        "ttl",
        "ttl_s",
        "duration",
        duration(may_be_zero=True),
        0,
        "0: a new worker for each request; more: how long a worker is reused",
        dump=seconds_dump,
    ),
    Key(
        "idleTimeout",
        "idle_timeout_s",
        "duration",
        duration(),
        "60s",
        "a worker idle for so long ends",
        dump=seconds_dump,
    ),
    Key(
        "maxRequests",
        "max_requests",
        "number",
        _COUNT,
        1000,
        "after about so many requests a worker is replaced",
    ),
    Key(
        "maxBodySize",
        "max_body_size_bytes",
        "size",
        size(1),
        "10mb",
        "largest request body, more gets 413; at most `RUNTIME_BODY_SIZE_MAX`",
        "`RUNTIME_BODY_SIZE_DEFAULT`, 10mb",
    ),
    Key(
        "lowMemory",
        "low_memory",
        "boolean",
        yes_or_no,
        False,
        "smaller arenas, one thread, garbage collection tuned for size",
        "false",
    ),
    Key(
        "autoInstall",
        "auto_install",
        "boolean",
        yes_or_no,
        False,
        "install from a lock file before the first start",
        "false",
    ),
    Key(
        "publicRoutes",
        "public_routes",
        "list, or a list for each method",
        routes,
        [],
        "routes that need no key where the app needs one; `*` one segment, `**` many",
        "none",
        dump=routes_dump,
    ),
    Key(
        "visibility",
        "visibility",
        "word",
        one_of("public", "protected", "internal"),
        "public",
        "public; protected: needs a key; internal: only other workers reach it",
    ),
    Key(
        "env",
        "env",
        "mapping",
        variables,
        {},
        "more environment variables, filtered",
        "none",
        dump=variables_dump,
        is_verbatim=True,
    ),
    Key(
        "workers",
        "workers",
        "number, or auto",
        workers,
        1,
        "most workers of an app with `ttl` above 0, used as it computes; auto: one for each core; "
        "state in memory wants 1",
    ),
    Key(
        "concurrency",
        "concurrency",
        "number",
        _COUNT,
        None,
        "requests at once in one worker",
        "by the kind of app",
    ),
    Key(
        "prewarm",
        "prewarm",
        "number",
        whole_number(0),
        0,
        "so many loaded workers are kept ready, for `ttl: 0` too",
    ),
    Key(
        "maxMemory",
        "max_memory_bytes",
        "size",
        size(
            16 << 20
        ),  # a worker that has loaded nothing takes 12 MB: less would replace it forever
        None,
        "a worker above it is replaced, and the log says so; 16mb or more",
        "none",
    ),
    Key(
        "maxAddressSpace",
        "max_address_space_bytes",
        "size",
        size(128 << 20),  # below that an interpreter may not even start
        None,
        "more memory than that, touched or not, is refused to a process; 128mb or more",
        "none",
    ),
    Key(
        "maxFileSize",
        "max_file_size_bytes",
        "size",
        size(4 << 10),
        None,
        "a file that a worker writes cannot grow beyond it; 4kb or more",
        "none",
    ),
    Key(
        "maxProcesses",
        "max_processes",
        "number",
        _COUNT,
        None,
        "most processes and threads of the app's `user`, in all of the system; root has no limit",
        "none",
    ),
    Key(
        "memoryMax",
        "group_memory_bytes",
        "size",
        size(32 << 20),  # a worker that has loaded nothing takes half of it
        None,
        "most memory of a worker with all that it starts, held by its cgroup; 32mb or more",
        "none",
    ),
    Key(
        "cpuMax",
        "group_processors",
        "number, or percent",
        processors,
        None,
        "most processors that a worker with all that it starts may use, like 0.5 or 50%, by cgroup",
        "none",
    ),
    Key(
        "pidsMax",
        "group_pids",
        "number",
        whole_number(16),  # a worker has some threads itself
        None,
        "most processes and threads of a worker with all that it starts, by cgroup; 16 or more",
        "none",
    ),
    Key(
        "python",
        "python",
        "path, name or version",
        plain_text,
        None,
        "interpreter of the app's workers, 3.9 or newer",
        "the app's `.venv`, else `RUNTIME_PYTHON`, else the runtime's own",
        is_verbatim=True,
    ),
    Key(
        "path",
        "path",
        "list of paths",
        folders_below,
        [],
        "folders of the app that modules are imported from besides, such as [src]",
        "none",
        dump=list,
    ),
    Key(
        "nice",
        "nice",
        "number",
        whole_number(0, 19),
        0,
        "how much the app's workers stand back for others when the processor is busy, up to 19",
    ),
    Key(
        "user",
        "user",
        "name, or uid:gid",
        user_name,
        None,
        "whom the app's workers run as, where the runtime is root",
        "the runtime's own",
        is_verbatim=True,
    ),
    Key(
        "sandbox",
        "sandbox",
        "word",
        sandbox_level,
        "standard",
        "what workers are kept from; standard: other apps, the runtime's secrets, writing "
        "elsewhere; strict: all but the app, its Python and the system; off: nothing",
    ),
    Key(
        "write",
        "write",
        "list of paths",
        paths,
        [],
        "where workers may write besides, in a sandbox; relative ones count from the app's folder",
        "none",
        dump=list,
    ),
    Key(
        "data",
        "data",
        "boolean",
        yes_or_no,
        False,
        "a folder for what is to stay, in the state folder: `APP_DATA_DIR`; all versions share it",
        "false",
    ),
    Key(
        "injectBase",
        "inject_base",
        "boolean",
        yes_or_no,
        None,
        "put `<base href>` into HTML",
        "true for an .html entrypoint",
    ),
    Key(
        "stripBase",
        "strip_base",
        "boolean",
        yes_or_no,
        False,
        "an ASGI app gets the path without the base, for frameworks that ignore `root_path`",
        "false",
    ),
    Key(
        "cookiePath",
        "cookie_path",
        "word",
        one_of("base", "as-is"),
        "base",
        "where the app's cookies go: below its base, or as-is, where its Set-Cookie says",
    ),
    Key(
        "hosts",
        "hosts",
        "list of names",
        parse_hosts,
        [],
        "hosts where the app is at `/` and has every path; `*.example.com` is for any one label",
        "none",
        dump=list,
    ),
    Key(
        "uses",
        "uses",
        "list of names",
        service_names,
        [],
        "services of plugins that the app calls; the plugin must open them to it",
        "none",
        dump=list,
    ),
    Key(
        "watch",
        "watch",
        "list of patterns",
        watched,
        [],
        "files whose change loads the app anew, beside code, templates and settings; "
        '`"!uploads/**"` leaves some out',
        "none",
        dump=list,
    ),
)
