#!/usr/bin/python3
"""Replaces systemctl where systemd does not run: starts what Buntime's units say.

    systemctl daemon-reload
    systemctl enable --now buntime.socket buntime.service

It uses the user, environment, folders for state and cache, limit of open files, umask, command and
sockets of the units, but not what hardens the service.
"""

import os
import pwd
import resource
import shlex
import socket
import subprocess
import sys
from collections import defaultdict

UNITS = "/etc/systemd/system/"
LOG = "/var/log/buntime.log"
FIRST_FD = 3  # where sockets begin, see sd_listen_fds(3)
ROOTS = {"StateDirectory": "/var/lib", "CacheDirectory": "/var/cache"}


def read(name: str) -> defaultdict[str, list[str]]:
    """The values of a unit's keys, in order."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    with open(UNITS + name, encoding="utf-8") as file:
        for line in file:
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith("#"):
                found[key].append(value)
    return found


def start(service: defaultdict[str, list[str]], sockets: defaultdict[str, list[str]]) -> None:
    """Start the command of one unit, with the sockets of the other, and do not wait for it."""
    user = pwd.getpwnam(service["User"][0])
    for key, root in ROOTS.items():
        for name in " ".join(service[key]).split():
            os.makedirs(f"{root}/{name}", exist_ok=True)
            os.chown(f"{root}/{name}", user.pw_uid, user.pw_gid)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "USER": user.pw_name}
    for each in service["Environment"]:
        name, _, value = each.partition("=")
        env[name] = value
    listening = []
    for place in sockets["ListenStream"]:
        host, _, port = place.rpartition(":")
        listening.append(socket.create_server((host or "0.0.0.0", int(port))))
    for number, sock in enumerate(listening, FIRST_FD + 10):
        os.dup2(sock.fileno(), number)
    fds = [*range(FIRST_FD, FIRST_FD + len(listening))]
    for fd in fds:
        os.dup2(fd + 10, fd)
    env["LISTEN_FDS"] = str(len(fds))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # root in a container cannot raise it
    limit = min(int(service["LimitNOFILE"][0]), most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    command = shlex.split(service["ExecStart"][0])
    # LISTEN_PID must name the process itself.
    wrapped = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"', *command]
    with open(LOG, "ab") as log:
        subprocess.Popen(
            wrapped,
            env=env,
            cwd="/",
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            umask=int(service["UMask"][0], 8),
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


if sys.argv[1:2] == ["enable"]:
    start(read("buntime.service"), read("buntime.socket"))
