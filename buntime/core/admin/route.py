"""What a route of the operators' API is: enough of it to dispatch, to check rights, to read what
it is asked with, and to write it down as OpenAPI 3.1.

A schema is a JSON Schema as a plain dict, of the few words that `shape` reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from buntime.core.values.tuples import NamedTuple

OPEN = "open"  # in the place of a verb: for everybody, without a key

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
    """A page of a list: `{"apps": [...], "next": "..."}`, `next` being the cursor of the next page.

    `more` are fields beside these.
    """
    fields = {key: {"type": "array", "items": entry}, "next": OR_NOTHING, **more}
    return {"type": "object", "required": [*fields], "properties": fields}


class Param(NamedTuple):
    """A query parameter. `Param("limit", {"type": "integer", "minimum": 1}, "how many")`

    Its schema is of type string, integer, number or boolean (`1`, `0`, `true`, `false`); `default`
    in it is what a handler finds where it is not given, else None.
    """

    name: str
    schema: Schema
    meaning: str
    required: bool = False


class Body(NamedTuple):
    """What a request bears. `schema` None is bytes: an archive."""

    schema: Schema | None
    media: tuple[str, ...] = ("application/json",)
    required: bool = True


class Answer(NamedTuple):
    """An answer that is no error. `items` is the schema of each line or event of a stream."""

    status: int
    meaning: str
    schema: Schema | None = None
    media: str = "application/json"
    items: Schema | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method at one path.

    `path` has `{app}`, "shop" and "@acme/shop", `{target}`, which may have a version or range
    behind it, "shop@^1", `{plugin}`, as `{app}`, and any other name for one segment. Values are
    decoded and checked before a handler gets them.

    Whose globs matter: where the path or the query has an app, those at that app. Where it has
    none, the caller's globs have to cover each app, unless `filters` says that the handler answers
    of those apps alone that `call.sees(app)`.
    """

    method: Method
    path: str
    verb: str  # of core.access.rights.VERBS, or OPEN
    name: str  # "apps.recycle": in OpenAPI its operationId, in server/admin/pages its handler
    summary: str
    query: tuple[Param, ...] = ()
    body: Body | None = None
    answers: tuple[Answer, ...] = (Answer(200, "Done.", OBJECT),)
    faults: tuple[int, ...] = ()  # statuses of errors beyond those that any route has
    filters: bool = False
    # Open to everybody where this setting has this value: ("metrics", "public").
    open_when: tuple[str, str] | None = None
    takes_any_query: bool = False  # what probes and scrapers add is let pass
    has_tag: bool = False  # answers have an ETag, writes heed If-Match: see `Call.tagged`
    has_dry_run: bool = True  # of a write: `?dryRun=1` changes nothing, see `Call.is_dry_run`

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
        """All that the query may have."""
        return (*self.query, DRY_RUN) if self.can_run_dry else self.query


DRY_RUN = Param(
    "dryRun", {"type": "boolean", "default": False}, "Check everything, change nothing."
)
LIMIT = Param(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    "How many entries at most.",
)
# Of lists that something else bounds: all of it, where nothing is said.
MOST = Param(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": 1000},
    "How many entries at most; without it all.",
)
CURSOR = Param("cursor", {"type": "string", "maxLength": 500}, "`next` of the page before.")
