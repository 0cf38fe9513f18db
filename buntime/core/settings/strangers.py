"""Finds variables that look like settings and are not: no mistake may go unseen."""

from collections.abc import Iterator, Mapping

from buntime.core.settings.settingtable import SETTINGS
from buntime.core.values.regex import regex
from buntime.core.values.wording import nearest

_PREFIX = "RUNTIME_"
_KNOWN = frozenset(
    name for row in SETTINGS for name in (row.variable, row.also) if name is not None
)
# The variables that Kubernetes sets in each pod beside a Service called "runtime".
_OF_A_SERVICE = regex(r"RUNTIME_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_\w+)?)")


def strangers(
    environ: Mapping[str, str], dotenv: Mapping[str, str], dotenv_name: str
) -> Iterator[str]:
    """A sentence for each: `"RUNTIME_POLL_SIZE (from .env) is no setting; did you mean …?"`.

    These are only warnings: apps get variables with this prefix, so one may be meant for them.
    """
    for name in sorted({*environ, *dotenv}):
        if name.startswith(_PREFIX) and name not in _KNOWN and not _OF_A_SERVICE.fullmatch(name):
            origin = "the environment" if name in environ else dotenv_name
            meant = nearest(name.removeprefix(_PREFIX), _stems())
            advice = f"did you mean {_PREFIX}{meant}?" if meant else _OTHERWISE
            yield f"{name} (from {origin}) is not a setting; {advice}"


_OTHERWISE = "correct or remove it: buntime config show lists all settings"


def _stems() -> Iterator[str]:
    """The names without their prefix, which would make all of them look alike."""
    return (name.removeprefix(_PREFIX) for name in sorted(_KNOWN) if name.startswith(_PREFIX))
