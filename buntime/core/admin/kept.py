"""Which routes need stored state, and what to do where the runtime stores none.

With RUNTIME_STATE=none each of several replicas would store something different, and lose it with
its pod. These routes are therefore refused then, with 409 `state_off`. Routes not listed here store
nothing, or keep in memory what concerns one replica only: its workers, its caches, a session in a
browser.
"""

from collections.abc import Mapping

_KEYS = "write the keys into the file of RUNTIME_KEYS_FILE, which all replicas read"
_SECRETS = "put it into the folder of RUNTIME_SECRETS_DIR, such as a Secret of Kubernetes"
_APPS = "bring the apps in another image or on another volume, and roll that out"
_PLUGINS = "set it in the config file (RUNTIME_CONFIG), which all replicas read"
_PLUGIN_FILES = "bring the plugins in another image or on another volume, and roll that out"
_VISITORS = "answer visitors before the runtime, at the Ingress or the load balancer"

INSTEAD: Mapping[str, str] = {
    "apps.close": _VISITORS,
    "apps.open": _VISITORS,
    "apps.secrets.set": _SECRETS,
    "apps.secrets.remove": _SECRETS,
    "audit.list": "read the log, which has each change as audit.changed",
    "data.backup": "back up what the replicas share: the volumes, the files and the databases",
    "deploys.put": _APPS,
    "deploys.activate": _APPS,
    "deploys.archive": "take the files from where all replicas get them",
    "deploys.rollback": _APPS,
    "deploys.remove": _APPS,
    "deploys.removeAll": _APPS,
    "hosts.move": "name the app that has the host in the config file (RUNTIME_CONFIG)",
    "keys.add": _KEYS,
    "keys.revoke": _KEYS,
    "plugins.disable": _PLUGINS,
    "plugins.enable": _PLUGINS,
    "plugins.install": _PLUGIN_FILES,
    "plugins.options": _PLUGINS,
    "plugins.remove": _PLUGIN_FILES,
    "plugins.reset": _PLUGINS,
    "plugins.secrets.set": _SECRETS,
    "plugins.secrets.remove": _SECRETS,
}
