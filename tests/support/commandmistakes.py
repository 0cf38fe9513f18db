"""Mistakes on the command line, and in what the command line reads; see tests/support/mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tests.support.mistakes import Told


class LineMistake(NamedTuple):
    """Words for the program, the expected message, and the exit code."""

    words: str
    told: Told
    code: int = 2
    env: Mapping[str, str] = {}


# `{down}` is a port where nothing listens, `{taken}` one where something does.
LINES: Mapping[str, LineMistake] = {
    "no such command": LineMistake(
        "depoly apps", Told("cannot be read", "{cwd}/depoly", "did you mean the command")
    ),
    "no such flag": LineMistake("apps --prot 80", Told("unknown flag", "'--prot'", "--port")),
    "no such action": LineMistake(
        "secrets sett shop A", Told("no action 'sett'", "secrets:", "did you mean set?")
    ),
    "no such folder": LineMistake(
        "nowhere", Told("No such file or directory", "{cwd}/nowhere", "new {cwd}/nowhere/hello")
    ),
    "an app in place of its folder": LineMistake(
        "apps/shop", Told("is an app itself", "{cwd}/apps/shop", "name the folder that it is in")
    ),
    "no folder at all": LineMistake(
        "check", Told("no folders of apps", "DIR", "set RUNTIME_WORKER_DIRS=")
    ),
    "no apps in a folder": LineMistake(
        "check empty", Told("no apps in", "{cwd}/empty", "new empty/hello"), 1
    ),
    "a wrong setting by its flag": LineMistake(
        "apps --port http", Told("'http' is not allowed", "from --port", "write a whole number")
    ),
    "a wrong setting in the environment": LineMistake(
        "apps",
        Told("'http'", "PORT (from the environment)", "write a whole number"),
        env={"PORT": "http"},
    ),
    "a wrong setting in a file": LineMistake(
        "apps --env-file bad.env", Told("'lots'", "(from bad.env)", "write a whole number, 1")
    ),
    "a file of settings from Windows": LineMistake(
        "apps --env-file crlf.env", Told("'lots'", "(from crlf.env)", "write a whole number, 1")
    ),
    "a line that is not a setting": LineMistake(
        "apps --env-file odd.env", Told("not NAME=VALUE", "odd.env:1", "a comment that begins")
    ),
    "no such file of settings": LineMistake(
        "apps --env-file none.env", Told("cannot be read", "none.env", "name another file")
    ),
    "a setting of that name is not there": LineMistake(
        "doctor",
        Told("is not a setting", "RUNTIME_POLL_SIZE", "did you mean RUNTIME_POOL_SIZE?"),
        0,
        env={"RUNTIME_POLL_SIZE": "5"},
    ),
    "no such mode": LineMistake(
        "apps --env prod", Told("'prod' is not one of", "from --env", "production")
    ),
    "a typo in the config file": LineMistake(
        "apps --config config.yaml", Told("'plugin'", "{cwd}/config.yaml:2", "did you mean plugins")
    ),
    "a wrong type in the config file": LineMistake(
        "config check type.yaml",
        Told("'perhaps' is neither true nor false", "{cwd}/type.yaml:1", "write one of them"),
        1,
    ),
    "a port in use": LineMistake(
        "apps --port {taken} --host 127.0.0.1",
        Told("something listens there already", "port {taken}", "such as --port"),
    ),
    "an address of another machine": LineMistake(
        "apps --host 203.0.113.7",
        Told("this machine has no such address", "203.0.113.7", "set HOST to one of its own"),
    ),
    "a proxy by its name": LineMistake(
        "apps --trusted-proxies proxy.example",
        Told("is not an IP address", "RUNTIME_TRUSTED_PROXIES", "write them like"),
    ),
    "no such Python": LineMistake(
        "apps --port 0 --python /nowhere/python3",
        Told("/nowhere/python3 cannot be run", "RUNTIME_PYTHON", "name another one"),
    ),
    "a name that no app can have": LineMistake(
        "new a$b", Told("is not an app name", "'a$b'", "use letters, digits and ._~-")
    ),
    "a folder that is there": LineMistake(
        "new apps/shop", Told("already exists", "apps/shop", "choose another name")
    ),
    "no such kind of app": LineMistake(
        "new x --kind djngo", Told("'djngo' is not one of", "--kind", "did you mean django?")
    ),
    "a runtime that is down": LineMistake(
        "deploy apps/shop --to http://127.0.0.1:{down}",
        Told("Connection refused", "http://127.0.0.1:{down}", "does it run?"),
        3,
        env={"BUNTIME_KEY": "k"},
    ),
    "no runtime here": LineMistake(
        "list --state-dir s2",
        Told("no runtime on this machine", "{cwd}/s2", "start one (buntime DIR)"),
        3,
    ),
    "health of a runtime that is down": LineMistake(
        "health --port {down} --host 127.0.0.1",
        Told("Connection refused", "port {down}", "is it running and listening there?"),
        1,
    ),
    "no such login": LineMistake(
        "list --to prod", Told("there is no login", "'prod'", "buntime login URL --name prod")
    ),
    "a key over plain HTTP": LineMistake(
        "list --to http://example.com",
        Told("would send the key unencrypted", "http://example.com", "use https://"),
        env={"BUNTIME_KEY": "k"},
    ),
    "no folder to deploy": LineMistake(
        "deploy nowhere", Told("there is no folder", "nowhere", "buntime deploy apps/shop")
    ),
    "no level of the log": LineMistake(
        "logs --level loud", Told("is one of", "--level", "debug, info, warn, error")
    ),
    "a secret on the command line": LineMistake(
        "secrets set shop KEY=hunter2",
        Told(
            "every process on this machine can see",
            "on the command line",
            "buntime secrets set APP NAME",
        ),
    ),
    "no folder of plugins": LineMistake(
        "plugins check nowhere", Told("there is no folder", "nowhere", "name one with plugins")
    ),
}
