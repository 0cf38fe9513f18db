"""All generated files of the chart, and which of those on the disk are stale."""

import json
from pathlib import Path

from artifacts.chart import netvalues, ownvalues, pluginvalues, settingvalues
from artifacts.chart.rows import Section
from artifacts.chart.schema import schema_text
from artifacts.chart.writing import MADE, questions_text, readme_text, values_text
from buntime import __version__
from buntime.core.settings.settingtable import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/buntime"
PLUGINS = ROOT / "plugins"
ABOUT = """\
<!-- Written by `python3 build.py chart`; change its tables in artifacts/chart, not this. -->
# Helm chart of Buntime

```sh
helm install apps deploy/helm/buntime
```

Kubernetes 1.27 and newer, OpenShift, k3s. [docs/kubernetes.md](../../../docs/kubernetes.md) leads
from nothing to an app, and tells what goes together; values that contradict each other are refused
with a sentence that says what to do.

## Values
"""

_DESCRIPTION = "Serves Python web apps and static sites, each app in worker processes of its own"


def sections() -> tuple[Section, ...]:
    """All values, in the order of values.yaml."""
    return (
        ownvalues.WORKLOAD,
        ownvalues.STATE,
        ownvalues.APPS,
        ownvalues.SECRETS,
        netvalues.NETWORK,
        netvalues.SCALE,
        netvalues.WATCHING,
        netvalues.JOBS,
        *settingvalues.setting_sections(),
        settingvalues.secret_section(),
        *pluginvalues.plugin_sections(PLUGINS),
    )


def made() -> dict[str, str]:
    """Contents by the files' names below the chart's folder."""
    rows = sections()
    return {
        "Chart.yaml": _chart(),
        "values.yaml": values_text(rows),
        "values.schema.json": schema_text(rows),
        "questions.yaml": questions_text(rows),
        "README.md": readme_text(rows, ABOUT),
        "files/names.yaml": _names(),
    }


def stale(folder: Path = CHART) -> list[str]:
    """Files that are not as they would be written now."""
    return [
        name
        for name, content in made().items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != content
    ]


def write(folder: Path = CHART) -> list[str]:
    """Write the stale ones; returns their names."""
    names = stale(folder)
    contents = made()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(contents[name], "utf-8")
    return names


def _chart() -> str:
    return "\n".join(
        [
            MADE,
            "apiVersion: v2",
            "name: buntime",
            f"description: {_DESCRIPTION}",
            "type: application",
            f"version: {__version__}",
            f'appVersion: "{__version__}"',
            'kubeVersion: ">=1.27.0-0"',
            "keywords: [python, web, wsgi, asgi]",
            "annotations:",
            "  catalog.cattle.io/display-name: Buntime for Python",
            "  catalog.cattle.io/type: app",
            "",
        ]
    )


def _names() -> str:
    """What templates look up: variables of settings, passwords of plugins, plugins with data."""
    variables = {
        settingvalues.value_name(row): row.variable
        for row in SETTINGS
        if settingvalues.is_value(row)
    }
    secrets = {
        settingvalues.value_name(row): row.variable
        for row in SETTINGS
        if row.secret and row.variable not in settingvalues.DECIDED
    }
    lines = [MADE]
    for title, found in (("settings", variables), ("secretSettings", secrets)):
        lines += [f"{title}:", *(f"  {name}: {variable}" for name, variable in found.items())]
    lines += [
        "decided:",
        *(f"  {name}: {json.dumps(by)}" for name, by in settingvalues.DECIDED.items()),
    ]
    lines.append("passwords:")
    for plugin, option, variable in pluginvalues.passwords(PLUGINS):
        lines.append(f"  - {{plugin: {plugin}, option: {option}, variable: {variable}}}")
    lines.append(f"keepData: [{', '.join(pluginvalues.keepers(PLUGINS))}]")
    return "\n".join([*lines, ""])
