"""Values reach the pod unchanged, secrets go only into Secrets, and nothing breaks out."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonschema
import pytest
import yaml

from artifacts.chart.files import PLUGINS, sections
from artifacts.chart.settingvalues import DEFAULTS, is_value, value_name
from buntime.core.plugins.schema import parse_schema
from buntime.core.settings.load import load_settings
from buntime.core.settings.settingtable import SETTINGS
from tests.chart.cases import NAMES, one, rendered, server, variables
from tests.chart.helm import CHART, Object, Refused, objects

SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
# Texts that could end a string, a line, a template or a document.
HOSTILE = (
    """a"b'c\\d `e` {{ .Values }} {{"{{"}} #f &g *h !!i | > - j: k, [l] % \t\n---\nkind: E\n- n""",
    "on",
    "1e3",
    "\u2028\u00e9\U0001f600",
)
_OF = {"kind": "Deployment", "state": {"enabled": False}}
_SAMPLES = {
    "HOST": "::",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
    "OTEL_RESOURCE_ATTRIBUTES": "a=b,c=d",
    "OTEL_TRACES_SAMPLER": "traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": 0.000001,
    "RUNTIME_ADMIN_LISTEN": "none",
    "RUNTIME_ADMIN_HOST": "panel.example.com",
    "RUNTIME_API_PREFIX": "/_",
    "RUNTIME_APP_USERS": "shop=www-data, *=nobody",
    "RUNTIME_CGROUP": "off",
    "RUNTIME_LOG_FORMAT": "pretty",
    "RUNTIME_DEFAULT_APP": "shop@^1",
    "RUNTIME_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
    "RUNTIME_SHELL": "none",
}
_BY_KIND: dict[str, Any] = {"NUMBER": 7000, "DURATION": "90m", "SIZE": 100000000}


def sample(setting: Any) -> Any:
    """A value other than the default, with the type that a values file gives it."""
    if setting.variable in _SAMPLES:
        return _SAMPLES[setting.variable]
    if setting.variable == "RUNTIME_REQUEST_LINE_MAX":
        return "16kb"
    if setting.variable == "RUNTIME_HEADERS_MAX":
        return 100000
    if "|" in setting.kind.word:
        return setting.kind.word.split("|")[-1]
    return _BY_KIND.get(
        setting.kind.word, "/elsewhere/x" if "PATH" in setting.kind.word else "some"
    )


def _read(environ: dict[str, Any]) -> Any:
    """The settings of a runtime with these variables."""
    return load_settings(
        args={}, environ=environ, dotenv={}, mode="binary", cores=2, is_root=True, needs_apps=False
    )


def test_each_setting_reaches_the_pod() -> None:
    """The runtime reads what is under `settings`, with its own words and types."""
    table = [setting for setting in SETTINGS if is_value(setting)]
    values = {value_name(setting): sample(setting) for setting in table}
    given = variables(tuple(objects({"settings": values})))
    missing = [setting.variable for setting in table if setting.variable not in given]
    assert missing == []
    read, plain = _read(given), _read(variables(rendered("defaults")))
    same = [
        setting.variable
        for setting in table
        if getattr(read, setting.field) == getattr(plain, setting.field)
        and setting.variable not in ("RUNTIME_METRICS", "RUNTIME_ENV")
    ]
    assert same == []
    assert read.otel_sampler_share == 0.000001
    assert read.body_size_max_bytes == 100000000


def test_defaults_are_those_of_the_chart() -> None:
    """Without values the pod gets what the chart decides; all else is left to the runtime."""
    given = variables(rendered("defaults"))
    assert given == {name: str(value) for name, value in DEFAULTS.items()} | {
        "RUNTIME_PLUGIN_DIRS": "/srv/plugins",
        "RUNTIME_STATE_DIR": "/var/lib/buntime",
    }
    assert server(rendered("defaults"))["args"] == ["/srv/apps"]
    assert variables(rendered("many"))["RUNTIME_STATE"] == "none"
    assert "RUNTIME_STATE_DIR" not in variables(rendered("many"))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in (*value, *value.values()) for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [str(value)]


@pytest.mark.parametrize("name", NAMES)
def test_secrets_are_in_secrets_alone(name: str) -> None:
    """No ConfigMap, variable or annotation has a secret; Secrets have them, as files."""
    for each in rendered(name):
        shown = [text for text in _texts(each) if "SENTINEL" in text or "a" * 64 in text]
        assert shown == [], each["kind"]
    if name == "everything":
        secrets = [each for each in rendered(name) if each["kind"] == "Secret"]
        data = {key: value for each in secrets for key, value in each["data"].items()}
        texts = {key: base64.b64decode(value).decode() for key, value in data.items()}
        assert texts["master-key"] == "master-SENTINEL"
        assert texts["shop.DATABASE_URL"] == "postgres://SENTINEL"
        assert yaml.safe_load(texts["keys.yaml"])[0]["name"] == "ci"
        given = variables(rendered(name))
        assert given["RUNTIME_MASTER_KEY_FILE"] == "/etc/buntime/master/key"
        assert "RUNTIME_MASTER_KEY" not in given
        reference = {"secretKeyRef": {"name": "oidc", "key": "value"}}
        assert given["AUTHN_CLIENT_SECRETS"] == reference
        assert given["OTEL_EXPORTER_OTLP_HEADERS"]["secretKeyRef"]["name"] == "otel"


def test_the_config_file() -> None:
    """It has the content of `config` and the plugins' values, with numbers as whole numbers."""
    text = one(rendered("everything"), "ConfigMap")["data"]["buntime.config.yaml"]
    assert yaml.safe_load(text) == {
        "apps": {"blog-*": {"sandbox": "strict", "maxRequests": 1000000}},
        "plugins": {"keyval": {"options": {"spaces": 2000000, "sync": "full"}}},
    }
    manifest = yaml.safe_load((PLUGINS / "keyval/buntime.yaml").read_text("utf-8"))
    schema = parse_schema(manifest["config"])
    options = yaml.safe_load(text)["plugins"]["keyval"]["options"]
    assert {name: schema[name].parse(value) for name, value in options.items()} == options


def _shape(value: Any) -> Any:
    """The same with types in place of values; keys stay."""
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shape(each) for each in value]
    return type(value).__name__


def _free(text: str) -> dict[str, Any]:
    """Values with a text at each place where the schema allows one and the chart uses it."""
    taken: dict[str, Any] = {**_OF, "masterKey": {"secret": "key"}}
    settings = taken["settings"] = {}
    for row in (row for section in sections() for row in section.rows):
        top, _, name = row.path.partition(".")
        if top == "settings" and jsonschema.Draft7Validator(row.schema).is_valid(text):
            settings[name] = text
    settings.pop("adminListen")
    texts = {"a": text}
    return taken | {
        "labels": texts,
        "annotations": texts,
        "podLabels": texts,
        "podAnnotations": texts,
        "nodeSelector": texts,
        "service": {"annotations": texts},
        "extraEnv": [{"name": "A", "value": text}],
        "tolerations": [{"key": text}],
        "affinity": {"nodeAffinity": texts},
        "secrets": {"a.A": text},
        "config": {"apps": {"*": {"env": texts}}},
        "plugins": {"authn": {"options": {"publicUrl": text}}},
        "serviceAccount": {"annotations": texts},
        "ingress": {"enabled": True, "hosts": [{"host": "a.b"}], "annotations": texts},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": text}], "annotations": texts},
        "route": {"enabled": True, "annotations": texts},
        "serviceMonitor": {"enabled": True, "labels": texts},
        "prometheusRule": {"enabled": True, "labels": texts, "rules": [{"alert": text}]},
        "keys": [{"name": "a", "sha256": "a" * 64, "roles": ["viewer"], "apps": [text]}],
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_out(text: str) -> None:
    """Whatever a text contains, the objects are those of a harmless one, with that text."""
    found = objects(_free(text))
    harmless = objects(_free("harmless"))
    assert [_shape(each) for each in found] == [_shape(each) for each in harmless]
    given = variables(tuple(found))
    for name in ("OTEL_SERVICE_NAME", "RUNTIME_DEFAULT_APP", "A"):
        assert given[name] == text
    made = {each["kind"]: each for each in found}
    assert made["Ingress"]["metadata"]["annotations"]["a"] == text
    assert made["Deployment"]["spec"]["template"]["spec"]["tolerations"] == [{"key": text}]
    config = yaml.safe_load(made["ConfigMap"]["data"]["buntime.config.yaml"])
    assert config["apps"]["*"]["env"] == {"a": text}
    assert config["plugins"]["authn"]["options"] == {"publicUrl": text}


def test_labels_of_the_chart_win() -> None:
    """A label in the values does not replace one that a selector looks for."""
    mine = {"app.kubernetes.io/name": "mine", "app.kubernetes.io/component": "cron"}
    found = objects({"labels": mine, "podLabels": mine})
    for each in found:
        if each["kind"] == "StatefulSet":
            labels = each["spec"]["template"]["metadata"]["labels"]
            assert each["spec"]["selector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"replica": 2}, "replica"),
        ({"settings": {"poolsize": 2}}, "poolsize"),
        ({"settings": {"poolSize": 0}}, "poolSize"),
        ({"settings": {"poolSize": "many"}}, "poolSize"),
        ({"settings": {"port": 80}}, "port"),
        ({"settings": {"host": "unix:/run/a"}}, "host"),
        ({"settings": {"shutdownTimeout": "soon"}}, "shutdownTimeout"),
        ({"settings": {"metrics": "all"}}, "metrics"),
        ({"settings": {"apiPrefix": "_"}}, "apiPrefix"),
        ({"kind": "DaemonSet"}, "kind"),
        ({"apps": {"path": "apps"}}, "path"),
        ({"fullnameOverride": "A_b"}, "fullnameOverride"),
        ({"secrets": {"../a": "b"}}, "does not match"),
        ({"cronJobs": [{"name": "a", "schedule": "@daily", "path": "/a b\r\nX: y"}]}, "path"),
        ({"cronJobs": [{"name": "a", "schedule": "often", "path": "/a"}]}, "schedule"),
        ({"ingress": {"hosts": [{"host": "a b"}]}}, "host"),
        ({"httpRoute": {"timeout": "100000s"}}, "timeout"),  # five digits in the Gateway API
        ({"keys": [{"name": "a", "sha256": "short", "roles": []}]}, "sha256"),
        ({"plugins": {"keyval": {"options": {"sync": "often"}}}}, "sync"),
        ({"plugins": {"authn": {"options": {"clientSecrets": "plain"}}}}, "clientSecrets"),
    ],
)
def test_the_schema_refuses(values: Object, where: str) -> None:
    """An unknown value, or one of another kind, is refused by name, not only by helm."""
    with pytest.raises(Refused, match=where):
        objects(values)
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(values)
