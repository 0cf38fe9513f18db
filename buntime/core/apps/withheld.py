"""Hints for the error of an app that may lack a variable.

    KeyError: 'DATABASE_URL'      DATABASE_URL is set where the runtime runs, and is kept from apps

Only names are shown. Variables that are kept from apps because of their names are recognized in any
spelling, as frameworks write them (`database_url`). Others, which the runtime has and does not pass
on, are recognized only where the error quotes them exactly: an error about a "user" may mean no
variable.
"""

import re
from collections.abc import Collection, Iterable

from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

_ERROR_MAX_CHARS = 16_384  # how much of an app's error is read
_OURS = "RUNTIME_"  # settings, which no app needs
_NAMES_MAX = 20  # how many names are shown
# Errors that no missing variable can cause: hints at other kept names would mislead.
_NO_VARIABLE = regex(
    r"[^\n]*?\b(ModuleNotFound|Import|Syntax|Indentation|Tab|Name|Attribute|ZeroDivision|Index|"
    r"FileNotFound|FileExists|IsADirectory|NotADirectory|Permission|UnicodeDecode|UnicodeEncode|"
    r"Recursion|Memory|NotImplemented|UnboundLocal)Error\b|"
    r"[^\n]*: nothing to serve: |[^\n]*: secrets: "
)
# Kept because of how they begin, though they are no credentials: an app lacks them only where its
# error names them.
_PLAIN = regex(r"AWS_(CA_BUNDLE|(DEFAULT_)?REGION|PAGER|DEFAULT_OUTPUT|EXECUTION_ENV)")
_ADVICE = "docs/secrets.md explains how apps get secrets"


class Missed(NamedTuple):
    """What an app may have missed when it failed to load."""

    named: tuple[str, ...]  # names in its error
    kept: tuple[str, ...]  # all variables kept from it because of their names
    words: str


def missed(
    error: str, kept: Collection[str], unpassed: Collection[str], given: Collection[str] = ()
) -> Missed | None:
    """What an app that fails with `error` may have missed; None where nothing suggests that.

    `kept` are the variables withheld because of their names, `unpassed` others that the runtime has
    and the app does not get, `given` those of the manifest's `env`.
    """
    error = error[:_ERROR_MAX_CHARS]
    words = {word.upper() for word in re.findall(r"\w+", error)}
    quoted = set(re.findall(r"""['"`](\w+)['"`]""", error))
    secret = sorted(name for name in kept if name.upper() in words)
    plain = sorted(quoted.intersection(unpassed))
    others = sorted(name for name in {*kept} - {*secret} if not _PLAIN.fullmatch(name))
    others = [name for name in others if not name.startswith(_OURS)]
    sentences = [
        f"{whose} has {_listed(names)}, which the error names, but does not pass "
        f"{'it' if len(names) == 1 else 'them'} to apps; name secrets in the manifest's "
        "secrets, and set their values with buntime secrets set"
        for whose, names in (
            ("the runtime", [name for name in secret if name not in given]),
            ("the manifest's env", [name for name in secret if name in given]),
        )
        if names
    ]
    if plain:
        sentences.append(
            f"the runtime has {_listed(plain)}, which the error names, but passes on only what "
            "the manifest's env names; add it there"
        )
    if others and (secret or plain or not _NO_VARIABLE.match(error)):
        sentences.append(f"{'also ' if secret else ''}kept from the app: {_listed(others)}")
    if not sentences:
        return None
    problem = "; ".join(sentences)
    return Missed((*secret, *plain), tuple(sorted(kept)), f"{problem} ({_ADVICE})")


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    more = len(known) - _NAMES_MAX
    return ", ".join(known[:_NAMES_MAX]) + (f" and {more} more" if more > 0 else "")
