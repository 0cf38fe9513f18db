"""Frameworks that keep each visitor's session in the process, and so need one that stays.

Loaded if the app's workers serve one request each, and only until the runtime knows.
"""

from __future__ import annotations

import sys

# By a module that is imported when an app is made with it.
_KEEP_SESSIONS = {
    "streamlit": "Streamlit",
    "gradio": "Gradio",
    "shiny": "Shiny",
    "nicegui": "NiceGUI",
    "marimo": "marimo",
    "panel.io.fastapi": "Panel",  # `panel` alone may only make pictures
}


def session_framework() -> str:
    """Return the name of the first that has been imported: `"Streamlit"`; "" if none has."""
    for module, name in _KEEP_SESSIONS.items():
        if module in sys.modules and _is_package(module.partition(".")[0]):
            return name
    return ""


def _is_package(name: str) -> bool:
    """Distinguish a framework from a single file of the app with its name."""
    try:
        return "__path__" in object.__getattribute__(sys.modules[name], "__dict__")
    except Exception:  # noqa: BLE001  # no module, but what an app has put there
        return False
