"""What a start logs once about its settings, and about how well apps and keys are protected."""

import os

from buntime.core.settings.load import Settings
from buntime.server.defence.exposures import exposures
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.telemetry.logs import Log


def warn_of_exposures(log: Log, settings: Settings) -> None:
    """Warn of the places where apps can find the master key."""
    for exposure in exposures(settings, os.geteuid()):
        log.warn("secret.exposed", exposure.message, **exposure.fields)


def warn_of_strangers(log: Log, settings: Settings) -> None:
    """Warn of variables that look like settings but are not."""
    for message in settings.strangers:
        log.warn("settings.unknown", message)


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
