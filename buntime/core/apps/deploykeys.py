"""The keys of a manifest that are about its deploys, see docs/deploys.md.

release: python manage.py migrate     a program to run before the version serves check: /healthz
a path that a worker must answer with a status from 200 to 299 replace: after
the old version's workers end before one loads the new one keepVersions: 5                       how
many of the deployed versions to keep
"""

from buntime.core.apps.cronkeys import words
from buntime.core.apps.key import Key
from buntime.core.values.kinds import one_of, whole_number
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

_TARGET = regex(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")
_TARGET_MAX_CHARS = 1000


def check_target(value: object) -> str:
    """A path below the app's base, with an optional query: "/healthz", "/status?deep=1"."""
    is_text = isinstance(value, str) and len(value) <= _TARGET_MAX_CHARS
    if not isinstance(value, str) or not is_text or not _TARGET.fullmatch(value):
        raise BadValue(
            f'{shown(value)} is not a path; write one that begins with "/", like /healthz'
        )
    return value


def release_words(value: object) -> tuple[str, ...]:
    """A program and its arguments; nothing for `[]`."""
    return () if value == [] else words(value)


DEPLOY_KEYS = (
    Key("release", "release", "command", release_words, [],
        "program to run before a deployed version serves, such as migrations; if it fails, so does "
        "the deploy", "none", dump=list),
    Key("check", "check", "path", check_target, None,
        "path that a worker of a deployed version must answer with a status from 200 to 299 before "
        "it serves", "none"),
    Key("replace", "replace", "word", one_of("beside", "after"), "beside",
        "beside: a deployed version is loaded while the old one serves; after: the old one's "
        "workers end first, and requests wait"),
    Key("keepVersions", "keep_versions", "number", whole_number(1, 1000), 5,
        "how many versions from deploys are kept"),
)  # fmt: skip
