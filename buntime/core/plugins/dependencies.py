"""The other plugins that a plugin needs, by name and version, from its manifest.

dependencies: [keyval, database]
optionalDependencies: {audit: "^1.2"}
"""

from buntime.core.apps.router import is_app_name
from buntime.core.apps.versions import is_range, select
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown


class Dependency(NamedTuple):
    """Another plugin, in any version or in those of an npm range."""

    name: str
    range: str | None = None

    def is_met_by(self, version: str) -> bool:
        return self.range is None or select([version], self.range) is not None

    def __str__(self) -> str:
        return self.name if self.range is None else f"{self.name} {self.range}"


def parse_dependencies(value: object) -> tuple[Dependency, ...]:
    """A list of names, or a range for each name. Raises BadValue."""
    if isinstance(value, list):
        return tuple(dict.fromkeys(Dependency(parse_name(name)) for name in value))
    if isinstance(value, dict):
        return tuple(Dependency(parse_name(name), _range(name, value[name])) for name in value)
    raise BadValue(
        f'{shown(value)} is not a list; write one like [keyval], or {{keyval: "^1.0"}} for versions'
    )


def dump_dependencies(dependencies: tuple[Dependency, ...]) -> dict[str, str]:
    """Dependencies as a manifest writes them: ranges by name."""
    return {each.name: each.range or "" for each in dependencies}


def parse_name(value: object) -> str:
    """The name of a plugin, with the same rules as for apps: `"keyval"`, `"@acme/audit"`. Raises
    BadValue."""
    if not isinstance(value, str) or not is_app_name(value):
        raise BadValue(f"{shown(value)} is not a name; write one like keyval or @acme/audit")
    return value


def _range(name: str, value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not is_range(value):
        raise BadValue(f'{name}: {shown(value)} is not a range of versions; write one like "^1.0"')
    return value
