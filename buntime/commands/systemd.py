"""The units that `buntime install-service` writes; deploy/systemd/ has them with their defaults.

`{name}` are filled in, see Service.
"""

import os.path
from dataclasses import dataclass

SERVICE = """\
# Buntime as a service of systemd. Make changes in a drop-in: systemctl edit buntime.service
# docs/deployment.md explains how, and what each group of lines is for.

[Unit]
Description=Buntime, serves the web apps in folders
After=network-online.target buntime.socket
Wants=network-online.target
# systemd holds the sockets: clients wait there while the runtime restarts.
Requires=buntime.socket
# A runtime that crashes is restarted, but not for ever: then the machine is at fault.
StartLimitIntervalSec=60
StartLimitBurst=30

[Service]
Type=notify
# The binary's first process waits for its second one, which is the runtime.
NotifyAccess=all
ExecStart={command} --env-file {settings}
# Reads {settings} again, reloads changed apps, and reopens the log file.
ExecReload=/bin/kill -HUP $MAINPID
# SIGTERM goes to the runtime, which ends its workers itself.
KillMode=mixed
TimeoutStartSec=90
TimeoutStopSec=75
WatchdogSec=30
Restart=on-failure
RestartSec=1
# Otherwise the journal labels the lines of the .pyz with python3.
SyslogIdentifier=buntime
# Restarting does not correct a wrong setting.
RestartPreventExitStatus=2

User={user}
Group={user}
UMask=0027
# For RUNTIME_MASTER_KEY=...: systemd reads it, so apps need no access: owner root, mode 600.
EnvironmentFile=-{secrets}
Environment=HOME=/var/lib/buntime
Environment=RUNTIME_ENV=production
Environment=RUNTIME_STATE_DIR=/var/lib/buntime
# Keys, secrets, data and logs, and the folders for deploys and plugins.
StateDirectory=buntime buntime-apps buntime-plugins
CacheDirectory=buntime
LimitNOFILE=65536
TasksMax=16384

# Apps can write to /var/lib/buntime and /var/lib/buntime-*, /var/cache/buntime and a /tmp of their
# own, as far as their sandboxes let them, and nowhere else.
# Let an app write to its own folder by a drop-in: ReadWritePaths=/srv/apps/NAME/data
ProtectSystem=strict
ProtectHome={protect_home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
# Not ProtectControlGroups: below its own group the runtime makes one for each worker with limits.
Delegate=cpu memory pids
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
# The runtime needs /proc, to find processes that apps leave behind.
ProtectProc=invisible
# The key `user` of manifests needs a runtime that is root: docs/deployment.md has the drop-in.
CapabilityBoundingSet=
NoNewPrivileges=yes
KeyringMode=private
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
# The calls of Landlock, for apps' sandboxes, are missing in the sets of older versions of systemd.
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
# Not set: MemoryDenyWriteExecute, which breaks ctypes callbacks, numba and other compilers.

[Install]
WantedBy=multi-user.target
Also=buntime.socket
"""

SOCKET = """\
# Where Buntime listens. The settings HOST, PORT and RUNTIME_LISTEN are then not used.

[Unit]
Description=Sockets of Buntime

[Socket]
{listen}
# A proxy on this machine may take a unix socket: ListenStream=/run/buntime.sock
FileDescriptorName=http
Backlog=4096

[Install]
WantedBy=sockets.target
"""

SETTINGS = """\
# Settings of Buntime, read at its start and by `systemctl reload buntime`: docs/settings.md
# Apps run as the user of the service and can read this file: put RUNTIME_MASTER_KEY into
# {secrets}, with owner root and mode 600.
RUNTIME_WORKER_DIRS={folders}
# Where `buntime deploy` puts apps; you copy the apps into the folders above by hand.
RUNTIME_DEPLOY_DIR={deploys}
# Where `buntime plugins install` puts plugins. Add other folders of plugins, separated by colons.
RUNTIME_PLUGIN_DIRS=/var/lib/buntime-plugins
RUNTIME_LOG_FORMAT=pretty
#RUNTIME_TRUSTED_PROXIES=127.0.0.1
#RUNTIME_POOL_SIZE=50
#RUNTIME_CONFIG=/etc/buntime/buntime.config.yaml
"""


@dataclass(frozen=True, kw_only=True)
class Service:
    """The parts of a service. `command` is what starts it, word by word."""

    command: tuple[str, ...] = ("/usr/local/bin/buntime",)
    folders: tuple[str, ...] = ("/srv/apps",)
    deploys: str = "/var/lib/buntime-apps"  # as StateDirectory has it
    listen: tuple[str, ...] = ("8000",)
    settings: str = "/etc/buntime/buntime.env"
    user: str = "buntime"
    protect_home: str = "yes"

    @property
    def secrets(self) -> str:
        """The file for secrets that no app may read, beside the one with the settings."""
        return os.path.join(os.path.dirname(self.settings), "secrets.env")

    def service_unit(self) -> str:
        words = {
            "{command}": " ".join(map(quote, self.command)),
            "{settings}": quote(self.settings),
            "{secrets}": self.secrets.replace("%", "%%"),
        }
        words |= {"{user}": self.user, "{protect_home}": self.protect_home}
        return _filled(SERVICE, words)

    def socket_unit(self) -> str:
        lines = "\n".join(f"ListenStream={place.replace('%', '%%')}" for place in self.listen)
        return _filled(SOCKET, {"{listen}": lines})

    def settings_file(self) -> str:
        folders = ":".join((*self.folders, self.deploys))
        is_plain = not set(folders) & set(" #'\"")
        words = {"{folders}": folders if is_plain else f"'{folders}'", "{deploys}": self.deploys}
        return _filled(SETTINGS, words | {"{secrets}": self.secrets})


def _filled(text: str, words: dict[str, str]) -> str:
    """Not by str.format: units have braces of their own."""
    for name, value in words.items():
        text = text.replace(name, value)
    return text


def quote(word: str) -> str:
    """A word of a command line as systemd reads it, see "COMMAND LINES" in systemd.service(5)."""
    word = word.replace("%", "%%").replace("$", "$$")
    if word and not set(word) & set(" \t\"'\\;"):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
