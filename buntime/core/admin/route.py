"""Describes a route of the operators' API: enough to dispatch, to check rights, to read queries and
bodies, and to document it as OpenAPI 3.1.

A schema is a JSON Schema as a plain dict, limited to the few words that `shape` knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from buntime.core.values.tuples import NamedTuple

OPEN = "open"  # instead of a verb: for everybody, without a key

Schema = Mapping[str, Any]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
ANYTHING: Schema = {}
OBJECT: Schema = {"type": "object"}
OR_NOTHING: Schema = {"type": ["string", "null"]}


def page(key: str, entry: Schema, **more: Schema) -> Schema:
    """A page of a list: `{"apps": [...], "next": "..."}`, where `next` is the cursor of the next
    page.

    `more` are additional fields.
    """
    fields = {key: {"type": "array", "items": entry}, "next": OR_NOTHING, **more}
    return {"type": "object", "required": [*fields], "properties": fields}


class Param(NamedTuple):
    """A query parameter. `Param("limit", {"type": "integer", "minimum": 1}, "how many")`

    Its schema is of type string, integer, number or boolean (`1`, `0`, `true`, `false`). A handler
    that is given no value gets the schema's `default`, or else None.
    """

    name: str
    schema: Schema
    meaning: str
    required: bool = False


class Body(NamedTuple):
    """What a request's body is. `schema` None means bytes: an archive."""

    schema: Schema | None
    media: tuple[str, ...] = ("application/json",)
    required: bool = True


class Answer(NamedTuple):
    """An answer that is not an error. `items` is the schema of each line or event of a stream."""

    status: int
    meaning: str
    schema: Schema | None = None
    media: str = "application/json"
    items: Schema | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method at one path.

    `path` may contain `{app}`, "shop" and "@acme/shop"; `{target}`, an app maybe followed by a
    version or range, "shop@^1"; `{plugin}`, like `{app}`; and any other name for one segment.
    Values are decoded and checked before a handler gets them.

    Where the path or the query has an app, the caller's globs must cover that app. Where it has
    none, they must cover every app, unless `filters` says that the handler returns only the apps
    for which `call.sees(app)` is true.
    """

    method: Method
    path: str
    verb: str  # one of core.access.rights.VERBS, or OPEN
    name: str  # "apps.recycle": the operationId in OpenAPI, the handler in server/admin/pages
    summary: str
    query: tuple[Param, ...] = ()
    body: Body | None = None
    answers: tuple[Answer, ...] = (Answer(200, "Done.", OBJECT),)
    faults: tuple[int, ...] = ()  # statuses of errors beyond those of every route
    filters: bool = False
    # Open to everybody where this setting has this value: ("metrics", "public").
    open_when: tuple[str, str] | None = None
    takes_any_query: bool = False  # unknown parameters, as probes and scrapers add, are ignored
    has_tag: bool = False  # answers have an ETag, writes check If-Match: see `Call.tagged`
    has_dry_run: bool = True  # for writes: `?dryRun=1` changes nothing, see `Call.is_dry_run`

    @property
    def tag(self) -> str:
        """`"apps.recycle"` -> "apps"."""
        return self.name.partition(".")[0]

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def can_run_dry(self) -> bool:
        return self.is_write and self.has_dry_run

    @property
    def is_stream(self) -> bool:
        return any(answer.items is not None for answer in self.answers)

    @property
    def params(self) -> tuple[Param, ...]:
        """All parameters that the query may have."""
        return (*self.query, DRY_RUN) if self.can_run_dry else self.query


DRY_RUN = Param(
    "dryRun", {"type": "boolean", "default": False}, "Check everything, but change nothing."
)
LIMIT = Param(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    "The maximum number of entries.",
)
# For lists that something else limits: everything, where no number is given.
MOST = Param(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": 1000},
    "The maximum number of entries; all if left out.",
)
CURSOR = Param(
    "cursor", {"type": "string", "maxLength": 500}, "The value of `next` of the previous page."
)
