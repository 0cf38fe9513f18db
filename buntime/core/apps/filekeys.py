"""The manifest keys about files that the runtime serves itself, and about what an app does without
being requested.
"""

from buntime.core.apps.cronkeys import cron_dump, cron_jobs, processes, processes_dump
from buntime.core.apps.fileheaders import dump_file_headers, parse_file_headers
from buntime.core.apps.key import Key
from buntime.core.apps.mounts import parse_mounts
from buntime.core.values.kinds import yes_or_no

FILE_KEYS = (
    Key("spa", "spa", "boolean", yes_or_no, None,
        "static sites: a missing page gets the entrypoint; otherwise `404.html`, or 404",
        "true, unless the site has a `404.html`"),
    Key("headers", "file_headers", "mapping", parse_file_headers, {},
        'header fields for files: `{"/assets/**": {Cache-Control: max-age=60}}`', "none",
        dump=dump_file_headers, is_verbatim=True),
    Key("static", "mounts", "mapping", parse_mounts, {},
        "folders of a Python app that the runtime serves itself: `{/static: staticfiles}`", "none",
        dump=dict),
    Key("shell", "in_shell", "boolean", yes_or_no, False,
        "browsers get its pages in a frame of the shell named by `RUNTIME_SHELL`", "false"),
)  # fmt: skip

UNASKED_KEYS = (
    Key("cron", "cron", "list of mappings", cron_jobs, [],
        "scheduled jobs: `schedule`, and `path` for a request or `run` for a program; "
        "`method`, `overlap`, `timeout`, `name`, `timezone`, `catchUp`, `cronOnly`", "none",
        dump=cron_dump),
    Key("processes", "processes", "mapping", processes, {},
        "programs that run all the time: `{worker: celery -A tasks worker}`", "none",
        dump=processes_dump),
)  # fmt: skip
