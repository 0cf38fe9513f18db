"""What `buntime new` writes besides an app's code: a manifest's comments, a test, .gitignore."""

from collections.abc import Mapping

MANIFEST = "buntime.yaml"

_IGNORED = """\
__pycache__/
.pytest_cache/
.venv/
.env
*.db
*.db-*
*.sqlite3
*.sqlite3-*
*.log
"""

# Together they are a manifest too: tests/commands/test_new_and_check.py removes the comments.
_KEYS = """\

# What many apps need sooner or later; remove the # to use it. docs/manifest.md has all keys.

# How long a request may take without progress.
# timeout: 30s

# How many workers there may be at once; auto: as many as there are processors.
# workers: auto

# Variables of the app. Secrets belong in `secrets`; set them with `buntime secrets set`.
# env:
#   GREETING: Hello
# secrets: [API_TOKEN]

# A folder of its own that outlives deploys: APP_DATA_DIR.
# data: true

# Who may reach it: public, protected (with a key), internal (only apps).
# visibility: protected

# Host names at which it is also served at /.
# hosts: [shop.example.com]
"""

_OF_FETCH = """\
# Each request gets a process of its own, which is simple and safe. With this line a worker stays
# for an hour, and takes request after request: about a hundred times as fast.
# ttl: 1h
"""

_OF_A_SITE = """\

# What many sites need sooner or later; remove the # to use it. docs/manifest.md has all keys.

# The first page answers paths without a file, which apps that route in the browser need.
# spa: true

# Who may reach it: public, protected (with a key), internal (only apps).
# visibility: protected

# Host names at which it is also served at /.
# hosts: [www.example.com]
"""

_TEST = '''\
"""Tests of this app. Run them by: {run}"""

from pathlib import Path

import pytest

from buntime.testing import Client


@pytest.fixture
def client():
    with Client(Path(__file__).parent) as client:
        yield client


def test_first_page(client):
    answer = client.get("/{query}")
    assert answer.status == 200
    assert {text} in answer.text
'''

# What each kind answers at its first page, as its test expects.
_ANSWERS = {"fetch": ("?name=Ada", '"Hello, Ada!"'), "static": ("", '"Hello, world!"')}
_USUAL_ANSWER = ("", '"Hello"')
_BY_JSON = {"fastapi": ("", '"world"'), "starlette": ("", '"world"')}
# Their packages are large, and their first page is made by scripts.
_WITHOUT_TEST = ("dash", "streamlit")
_OF_PLUGINS = '''\
"""Tests of this plugin's functions. Run them by: {run}"""

import plugin


class Asked:
    """As much of a request as the hook reads."""

    app = "shop"


def test_counting():
    plugin.counts.clear()
    assert plugin.on_request(Asked()) is None
    assert plugin.on_request(Asked()) is None
    assert plugin.counts == {{"shop": 2}}
'''


def complete(files: Mapping[str, str], kind: str, name: str, run: str) -> dict[str, str]:
    """The files of a first app with all that goes with them.

    `name` is the app's: "shop", "@acme/shop@1.0.0"; `run` the line that runs its tests.
    """
    whole = {**files, ".gitignore": _IGNORED}
    if kind == "plugin":
        return whole | {test_name(name): _OF_PLUGINS.format(run=run)}
    active = files.get(MANIFEST, _OF_FETCH if kind == "fetch" else "")
    comments = _OF_A_SITE.lstrip() if kind == "static" else _KEYS
    whole[MANIFEST] = active + comments
    if kind not in _WITHOUT_TEST:
        query, text = (_ANSWERS | _BY_JSON).get(kind, _USUAL_ANSWER)
        whole[test_name(name)] = _TEST.format(run=run, query=query, text=text)
    return whole


def test_name(name: str) -> str:
    """A file's name that no other app's test has: "@acme/my-shop@1.0.0" -> "test_my_shop.py"."""
    plain = name.rpartition("/")[2].partition("@")[0]
    return "test_" + "".join(c if c.isalnum() else "_" for c in plain) + ".py"
