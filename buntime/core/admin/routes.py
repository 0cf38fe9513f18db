"""The one table of the operators' API and of the runtime's other pages.

It is used to dispatch, to check rights and to read queries and bodies, and is published at
/api/openapi.json. A route that is added here needs a handler of its name in server/admin/pages.py;
a test compares the two. Each concern has its own tuple, here or in a module beside this one.
"""

from buntime.core.admin.accessroutes import ACCESS
from buntime.core.admin.approutes import APPS
from buntime.core.admin.auditroutes import AUDIT
from buntime.core.admin.cacheroutes import CACHES
from buntime.core.admin.cronroutes import CRON
from buntime.core.admin.dataroutes import DATA
from buntime.core.admin.deployroutes import DEPLOYS
from buntime.core.admin.diagnosisroutes import DIAGNOSIS
from buntime.core.admin.frameroutes import FRAMES
from buntime.core.admin.hostroutes import HOSTS
from buntime.core.admin.keyroutes import KEYS
from buntime.core.admin.logroutes import LOGS
from buntime.core.admin.matching import RouteTable
from buntime.core.admin.pluginroutes import PLUGINS
from buntime.core.admin.route import CURSOR, MOST, OBJECT, OPEN, TEXT, Answer, Route, page
from buntime.core.admin.secretroutes import SECRETS
from buntime.core.admin.sessionroutes import SESSIONS
from buntime.core.admin.userroutes import USERS
from buntime.core.admin.watchroutes import WATCHING

_OBJECT_ANSWER = (Answer(200, "What there is.", OBJECT),)
_STATUS = {"type": "object", "required": ["status"], "properties": {"status": TEXT}}
_HEALTH = (Answer(200, "It runs.", _STATUS),)
_RECYCLED = (
    Answer(
        202,
        "The workers that are replaced; each ends once another has taken its place.",
        {
            "type": "object",
            "required": ["recycled"],
            "properties": {"recycled": {"type": "array", "items": TEXT}},
        },
    ),
)


def _open(path: str, name: str, summary: str, faults: tuple[int, ...] = ()) -> Route:
    return Route(
        method="GET",
        path=path,
        verb=OPEN,
        name=name,
        summary=summary,
        answers=_HEALTH,
        faults=faults,
        takes_any_query=True,
    )


OWN = (
    _open("/health", "health.short", "Whether the runtime serves, and for how long."),
    _open("/api/health", "health.show", "Whether the runtime serves, and for how long."),
    _open("/api/health/live", "health.live", "Whether the runtime answers."),
    _open("/api/health/ready", "health.ready", "Whether new requests should come here.", (503,)),
    _open("/.well-known/buntime/health", "health.known", "The same as /api/health/live."),
    Route(
        method="GET",
        path="/.well-known/buntime",
        verb=OPEN,
        name="discovery.show",
        summary="The version, and the path of the API.",
        answers=_OBJECT_ANSWER,
        takes_any_query=True,
    ),
    Route(
        method="GET",
        path="/metrics",
        verb="apps:read",
        name="metrics.text",
        summary="Metrics in Prometheus' text format.",
        answers=(Answer(200, "The metrics.", TEXT, "text/plain"),),
        open_when=("metrics", "public"),
        takes_any_query=True,
    ),
    Route(
        method="GET",
        path="/api/config",
        verb="config:read",
        name="config.show",
        summary="Each setting and each option of a plugin, and where its value comes from.",
        answers=_OBJECT_ANSWER,
    ),
)

WORKERS = (
    Route(
        method="GET",
        path="/api/workers",
        verb="apps:read",
        name="workers.list",
        summary="All workers, and the apps that have any.",
        query=(MOST, CURSOR),
        answers=(Answer(200, "What there is.", page("workers", OBJECT)),),
        filters=True,
    ),
    Route(
        method="GET",
        path="/api/workers/stats",
        verb="apps:read",
        name="workers.stats",
        summary="Counts and durations of requests, by app.",
        answers=_OBJECT_ANSWER,
        filters=True,
    ),
    Route(
        method="GET",
        path="/api/workers/metrics",
        verb="apps:read",
        name="workers.metrics",
        summary="Metrics as JSON.",
        answers=_OBJECT_ANSWER,
    ),
    Route(
        method="POST",
        path="/api/workers/{worker}/recycle",
        verb="workers:recycle",
        name="workers.recycle",
        summary="Replace one worker.",
        answers=_RECYCLED,
        faults=(404,),
        filters=True,
    ),
    Route(
        method="POST",
        path="/api/apps/{target}/recycle",
        verb="workers:recycle",
        name="apps.recycle",
        summary="Replace all workers of an app.",
        answers=_RECYCLED,
        faults=(404,),
    ),
)

ROUTES = RouteTable(
    (
        *OWN,
        *WORKERS,
        *APPS,
        *PLUGINS,
        *SECRETS,
        *USERS,
        *KEYS,
        *FRAMES,
        *CRON,
        *CACHES,
        *ACCESS,
        *AUDIT,
        *DATA,
        *LOGS,
        *DEPLOYS,
        *HOSTS,
        *WATCHING,
        *SESSIONS,
        *DIAGNOSIS,
    )
)
