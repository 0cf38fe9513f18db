"""The programs accept the commands on the pages, and the values shown there render."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.cases import OLDEST, VERSIONS_RENDERED, WITH_SLEEP, pods, workload
from tests.chart.guides import GUIDES, Command, blocks, commands, lay, named, shown, typed
from tests.chart.helm import CHART, NEWEST, ROOT, TOOLS, Object, objects, parse, render, run
from tests.chart.schemas import faults

OURS = "deploy/helm/buntime"
# Commands that kubectl lacks: https://docs.openshift.com/container-platform/latest/cli_reference
_OC_ALONE = {"login", "new-project"}
_OPENSHIFT = ("route.openshift.io/v1",)
_OTHERS = ("ClusterRepo", "HelmChartConfig")  # no schema for these here
EACH = [
    pytest.param(page, command, id=f"{Path(page).stem}-{number}")
    for page in GUIDES
    for number, command in enumerate(commands(page))
]
ONCE = [*{each.values[1].words: each for each in EACH}.values()]
VALUES = [
    pytest.param(page, text, id=f"{Path(page).stem}-{number}")
    for page in GUIDES
    for number, (name, text) in enumerate(shown(page))
    if name == "values.yaml"
]


def _has(command: Command, words: str) -> bool:
    return command.words[1 : 1 + len(words.split())] == tuple(words.split())


def _program(command: Command) -> Path:
    return TOOLS / ("kubectl" if command.words[0] == "oc" else command.words[0])


def test_there_are_commands() -> None:
    """Each page has commands of both programs, and shows values before it names them."""
    for page in GUIDES:
        assert {command.words[0] for command in commands(page)} >= {"helm"}
        assert any(command.words[0] in ("kubectl", "oc") for command in commands(page))
        assert [name for name, _ in shown(page)].count("values.yaml") >= 2


@pytest.mark.parametrize("command", [each.values[1] for each in ONCE], ids=str)
def test_flags(command: Command, tmp_path: Path) -> None:
    """The program knows the command and each of its flags."""
    if command.words[0] == "oc" and command.words[1] in _OC_ALONE:
        return
    words = list(command.words[1:])
    end = words.index("--") if "--" in words else len(words)
    said = run([_program(command), *words[:end], "--help"], str(tmp_path))
    if command.words[0] == "kubectl" or command.words[0] == "oc":
        assert f"kubectl {words[0]}" in said
    else:
        assert f"helm {words[0]}" in said


@pytest.mark.parametrize(
    ("page", "command"), [each for each in EACH if OURS in each.values[1].words]
)
def test_charts(page: str, command: Command, tmp_path: Path) -> None:
    """A command with our chart renders, for each version, to objects without a fault."""
    lay(command.files, tmp_path)
    words = list(command.words)
    [at] = [index for index, word in enumerate(words) if word == OURS]
    kept = [words[at - 1], str(CHART), "--namespace", "web"]
    for flag in ("--values", "--set"):
        kept += [
            part
            for name, value in itertools.pairwise(words)
            if name == flag
            for part in (flag, str(tmp_path / value) if flag == "--values" else value)
        ]
    assert words[words.index("--namespace") + 1] == "web"
    offers = [word for each in _offers(page) for word in ("--api-versions", each)]
    for version in VERSIONS_RENDERED:
        text = run(
            [TOOLS / "helm", "template", *kept, "--kube-version", version, *offers], str(tmp_path)
        )
        assert [fault for each in parse(text) for fault in faults(each, version)] == []


@pytest.mark.parametrize("page", GUIDES)
def test_files_are_shown_before_they_are_named(page: str) -> None:
    """A file that a command names was shown on the page, or a command writes it."""
    written = {word for _, text in blocks(page) for word in re.findall(r"> (\S+)", text)}
    named = [
        (str(command), name)
        for command in commands(page)
        for flag, name in itertools.pairwise(command.words)
        if flag in ("--values", "--filename") and name not in command.files.keys() | written
    ]
    assert named == []


@pytest.mark.parametrize("page", GUIDES)
def test_objects_of_a_page_are_applied(page: str) -> None:
    """Each object that a page shows is a named file, which a command applies."""
    taken = {each.words[-1] for each in commands(page) if _has(each, "apply")}
    texts = [text for _, text in shown(page) if "apiVersion" in yaml.safe_load(text)]
    assert {named(text) for text in texts} <= taken


@pytest.mark.parametrize(("page", "text"), VALUES)
def test_values(page: str, text: str) -> None:
    """Values that a page shows render, for each version, to objects without a fault."""
    values = yaml.safe_load(text)
    rendered = {
        version: objects(values, version=version, offers=_offers(page))
        for version in VERSIONS_RENDERED
    }
    for version in (OLDEST, WITH_SLEEP, NEWEST):
        is_old = int(version.split(".")[1]) < 30
        found = rendered[VERSIONS_RENDERED[0 if is_old else 1]]
        assert [fault for each in found for fault in faults(each, version)] == []


def _offers(page: str) -> tuple[str, ...]:
    return _OPENSHIFT if "openshift" in page else ()


@pytest.mark.parametrize("page", GUIDES)
def test_names(page: str, tmp_path: Path) -> None:
    """Each of our objects that a command names is made by the chart or the page."""
    made: set[str] = {"buntime-master"}
    for _, text in [each for each in shown(page) if each[0] == "values.yaml"]:
        (tmp_path / "values.yaml").write_text(text, "utf-8")
        command = [TOOLS / "helm", "template", "buntime", CHART, "--values"]
        made |= _names(parse(run([*command, tmp_path / "values.yaml"], str(tmp_path))))
    wrong = []
    for command in commands(page):
        if command.words[0] != "helm":
            words = [word.partition(":")[0].rpartition("/")[2] for word in command.words]
            named = {word for word in words if re.match(r"(data-)?buntime", word)}
            wrong += [str(command)] if not named <= made | {"buntime", "buntime.tar"} else []
    assert wrong == []


def _names(found: list[Object]) -> set[str]:
    names = {each["metadata"]["name"] for each in found}
    for each in found:
        if each["kind"] == "StatefulSet":
            names.add(f"{each['metadata']['name']}-0")
            for claim in each["spec"].get("volumeClaimTemplates", []):
                names.add(f"{claim['metadata']['name']}-{each['metadata']['name']}-0")
        if each["kind"] == "Ingress":
            names |= {entry["secretName"] for entry in each["spec"].get("tls", [])}
    return names


@pytest.mark.parametrize(
    ("page", "command"),
    [each for each in EACH if each.values[1].words[:3][1:] in (("create", "secret"),)],
)
def test_secrets(page: str, command: Command, tmp_path: Path) -> None:
    """A Secret that a page makes has the key that the chart mounts."""
    lay(command.files, tmp_path)
    told = ["--dry-run=client", "--output", "json"]
    done = subprocess.run(
        [TOOLS / "kubectl", *command.words[1:], *told],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "KUBECONFIG": "/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    made = json.loads(done.stdout)
    assert faults(made, NEWEST) == []
    if made["metadata"]["name"] != "registry":
        assert [*made["data"]] == ["master-key"]
        found = tuple(objects({"masterKey": {"secret": made["metadata"]["name"]}}))
        volumes = workload(found)["spec"]["template"]["spec"]["volumes"]
        [secret] = [each["secret"] for each in volumes if each["name"] == "master-key"]
        assert secret["secretName"] == "buntime-master"
        assert [item["key"] for item in secret["items"]] == ["master-key"]


@pytest.mark.parametrize("page", GUIDES)
def test_manifests(page: str) -> None:
    """Objects that a page has readers apply follow their schema."""
    for name, text in shown(page):
        document = yaml.safe_load(text)
        if "apiVersion" in document and document["kind"] not in _OTHERS:
            assert faults(document, NEWEST) == [], name


def test_restricted_v2() -> None:
    """On OpenShift each pod meets the constraint restricted-v2, and leaves ids to it."""
    values = {"masterKey": {"secret": "a"}, "secrets": {"shop.A": "b"}, "config": {"apps": {}}}
    cron = {"cronJobs": [{"name": "a", "schedule": "@daily", "path": "/", "secret": "k"}]}
    found = tuple(objects({**values, **cron}, offers=_OPENSHIFT))
    kinds = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    for title, template in pods(found):
        spec = template["spec"]
        told = spec["securityContext"]
        assert not {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"} & {*told}, title
        assert told["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & {*spec}
        assert {key for each in spec.get("volumes", []) for key in each} <= kinds | {"name"}
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            own = container["securityContext"]
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert (own["allowPrivilegeEscalation"], own["privileged"]) == (False, False)
            assert not {"runAsUser", "runAsGroup"} & {*own}
            assert all("hostPort" not in port for port in container.get("ports", []))


NOTES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "plain": (
        {"masterKey": {"secret": "k"}},
        ["port-forward service/apps-buntime 8000:80", "BUNTIME_KEY=KEY buntime deploy shop"],
        ["NO KEY IS SET", "trustedProxies"],
    ),
    "no-key": ({}, ["NO KEY IS SET", "one start"], ["https://"]),
    "ingress": (
        {"ingress": {"enabled": True, "hosts": [{"host": "a.example.com", "path": "/x"}]}},
        ["http://a.example.com/x", "settings.trustedProxies is empty"],
        ["https://", "port-forward service/"],
    ),
    "tls": (
        {"ingress": {"enabled": True, "hosts": [{"host": "a.example.com"}]}}
        | {"certManager": {"clusterIssuer": "le"}, "settings": {"trustedProxies": "10.0.0.0/8"}},
        ["https://a.example.com/"],
        ["http://a.example", "trustedProxies"],
    ),
    "route": ({"route": {"enabled": True}}, ["get route apps-buntime"], ["port-forward service/"]),
    "gateway": (
        {"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}},
        ["get httproute apps-buntime"],
        ["port-forward service/"],
    ),
    "many": (
        {"kind": "Deployment", "state": {"enabled": False}, "keysFrom": {"secret": "k"}},
        ["port-forward deployment/apps-buntime 8001:8001", "claim apps-buntime-apps"],
        ["buntime deploy", "NO KEY", "one start"],
    ),
    "image": ({"apps": {"source": "image"}}, ["8001:8001"], ["buntime deploy", "claim"]),
}


@pytest.mark.parametrize("name", NOTES)
def test_notes(name: str, tmp_path: Path) -> None:
    """After an install helm prints the next steps, with commands that the programs accept."""
    values, wanted, unwanted = NOTES[name]
    notes = render(values, with_notes=True).partition("\nNOTES:\n")[2]
    assert [each for each in wanted if each not in notes] == []
    assert [each for each in unwanted if each in notes] == []
    assert "\n\n\n" not in notes
    assert "<no value>" not in notes
    lines = [line.strip() for line in notes.splitlines() if line.startswith("  ")]
    for words in [words for line in lines for words in typed(line)]:
        assert words[1:3] == ("-n", "web")
        assert run([TOOLS / words[0], *words[1:], "--help"], str(tmp_path))


def test_rancher_finds_the_chart() -> None:
    """The repository has one chart, no symlink and no index.yaml, as Rancher needs it."""
    files = subprocess.run(
        ["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    names = [line.partition("\t")[2] for line in files]
    assert [line for line in files if line.startswith("120000")] == []
    assert [name for name in names if name.endswith("Chart.yaml")] == [f"{OURS}/Chart.yaml"]
    assert [name for name in names if name.endswith("/index.yaml") or name == "index.yaml"] == []
    assert {f"{OURS}/{name}" for name in ("questions.yaml", "app-readme.md")} <= {*names}
