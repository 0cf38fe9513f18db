"""What a start logs once about its settings, and about how well apps and keys are protected."""

import os
from collections.abc import Iterator

from buntime.core.settings.load import Settings
from buntime.server.defence.exposures import exposures
from buntime.server.deploys.opening import not_a_worker_folder
from buntime.server.pythons.users import look_up
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.telemetry.logs import Log


def warn_of_exposures(log: Log, settings: Settings) -> None:
    """Warn of the places where apps can find the master key."""
    for exposure in exposures(settings, os.geteuid()):
        log.warn("secret.exposed", exposure.message, **exposure.fields)


def warn_of_settings(log: Log, settings: Settings) -> None:
    """Warn of variables that look like settings but are not, and of settings that do nothing."""
    for message in settings.strangers:
        log.warn("settings.unknown", message)
    warn_of_void(log, settings)


def warn_of_void(log: Log, settings: Settings) -> None:
    """Warn of settings that name what is not there. Waits for the disk."""
    messages = [*without_effect(settings)]
    if settings.deploy_dir is not None and settings.deploy_dir not in settings.worker_dirs:
        messages.append(not_a_worker_folder(settings.deploy_dir))
    for message in messages:
        log.warn("settings.without_effect", message)


def without_effect(settings: Settings) -> Iterator[str]:
    """A sentence for each setting that names what is not there: which, and what to do.

    They do not end a start: the folder or the user may be made later. Waits for the disk.
    """
    if settings.origins.get("plugin_dirs", "default") != "default":
        for folder in settings.plugin_dirs:
            if not os.path.isdir(folder):
                yield (
                    f"RUNTIME_PLUGIN_DIRS: there is no folder {folder}, so none of its plugins "
                    "runs; make it, or name another one"
                )
    for app, user in settings.app_users.items():
        fault = look_up(user)
        if isinstance(fault, str):
            yield f"RUNTIME_APP_USERS: {app}={user}: {fault}"


def announce_sandbox(log: Log, sandboxes: Sandboxes) -> None:
    """Log what keeps apps apart here."""
    abi, acts = sandboxes.kernel.abi, sandboxes.acts
    if acts:
        log.info("sandbox.available", "apps can run in a sandbox", landlock_abi=abi, acts=acts)
    else:
        log.warn(
            "sandbox.unavailable",
            "apps run without a sandbox: it needs Linux 6.2 or newer with Landlock",
            landlock_abi=abi,
        )
