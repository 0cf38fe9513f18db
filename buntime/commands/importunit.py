"""Reads a configuration of NGINX Unit, as `unit.json` or as its control API prints it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from buntime.commands.drafts import Draft
from buntime.core.errors import UsageError

_KNOWN = frozenset(
    "type module callable path working_directory home processes threads protocol environment "
    "limits".split()
)
_STEPS_MAX = 1000
_URI = re.compile(r"\$(uri\b|\{uri\})")  # of a request, both ways to write it


def read_unit(text: str, source: str) -> list[Draft]:
    """A draft for each Python application. Raises UsageError if it is not such a file."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{source} is not JSON: {exc}") from exc
    config = data.get("config", data) if isinstance(data, dict) else None
    apps = config.get("applications") if isinstance(config, dict) else None
    if not isinstance(config, dict) or not isinstance(apps, dict):
        raise UsageError(f'{source} is not a configuration of Unit: it has no "applications"')
    drafts = [_draft(str(name), app, source) for name, app in apps.items() if isinstance(app, dict)]
    for draft in drafts:
        if draft.manifest:
            _rest_of(config, draft)
    return drafts


def _draft(name: str, app: Mapping[str, Any], source: str) -> Draft:
    paths = _texts(app.get("path"))
    folder = str(app.get("working_directory") or (paths[0] if paths else "."))
    draft = Draft(name, folder.rstrip("/") or "/", source)
    language, _, version = str(app.get("type", "")).partition(" ")
    if language != "python":
        draft.leave(f"type {app.get('type')}", "only applications in Python can be served")
        return draft
    _entrypoint(draft, app)
    for path in paths:
        draft.import_from(path)
    if home := app.get("home"):
        draft.python_of(str(home))
    elif "." in version:
        draft.manifest["python"] = version
    _processes(draft, app)
    env = app.get("environment")
    if isinstance(env, dict):
        draft.environment({str(key): str(value) for key, value in env.items()})
    for key in app.keys() - _KNOWN:
        draft.leave(f"{key}: {json.dumps(app[key])}", _WHY.get(key, "Buntime has nothing like it"))
    return draft


_WHY = {
    **dict.fromkeys(
        ("user", "group"),
        "apps run as the runtime's user; if that is root, `user` in the manifest names another",
    ),
    "isolation": "see `sandbox` in the manifest",
    "stdout": "what an app prints is in its log: buntime logs",
    "stderr": "what an app prints is in its log: buntime logs",
    "targets": "serve each with an app of its own",
    "prefix": "an app is served below its name, or at hosts of its own (`hosts`)",
}


def _entrypoint(draft: Draft, app: Mapping[str, Any]) -> None:
    module = app.get("module")
    if not isinstance(module, str):
        draft.leave("module", "it names none; write `entrypoint` into the manifest")
        return
    draft.manifest["entrypoint"] = f"{module}:{app.get('callable', 'application')}"


def _processes(draft: Draft, app: Mapping[str, Any]) -> None:
    manifest, processes = draft.manifest, app.get("processes", 1)
    if isinstance(processes, dict):
        manifest["workers"] = processes.get("max", 1)
        if spare := processes.get("spare"):
            manifest["prewarm"] = spare
        if idle_s := processes.get("idle_timeout"):
            manifest["idleTimeout"] = f"{idle_s}s"
    elif isinstance(processes, int):
        manifest["workers"] = processes
    else:
        draft.leave(f"processes: {json.dumps(processes)}", "it is not a number")
    if app.get("protocol") != "asgi":
        manifest["concurrency"] = app.get("threads", 1)
    elif "threads" in app:
        draft.leave(f"threads: {app['threads']}", "an ASGI app runs on its loop")
    limits = app.get("limits")
    for key, value in (limits if isinstance(limits, dict) else {}).items():
        if key == "requests":
            manifest["maxRequests"] = value
        elif key == "timeout":
            manifest["timeout"] = f"{value}s"
        else:
            draft.leave(f"limits.{key}", "Buntime has nothing like it")


# What leads to an application


def _rest_of(config: Mapping[str, Any], draft: Draft) -> None:
    listeners = config.get("listeners")
    for place, listener in (listeners if isinstance(listeners, dict) else {}).items():
        if not isinstance(listener, dict):
            continue
        target = str(listener.get("pass") or f"applications/{listener.get('application')}")
        steps = list(_steps(config, target, draft))
        if steps:
            _listener(draft, str(place), listener)
        for step in steps:
            _step(draft, step)
    http = (
        config.get("settings", {}).get("http") if isinstance(config.get("settings"), dict) else None
    )
    if isinstance(http, dict) and "max_body_size" in http:
        draft.manifest["maxBodySize"] = http["max_body_size"]


def _listener(draft: Draft, place: str, listener: Mapping[str, Any]) -> None:
    draft.leave(f"listens at {place}", "where the runtime listens is a setting: RUNTIME_LISTEN")
    if "tls" in listener:
        draft.leave(f"tls at {place}", "a proxy in front of the runtime has the certificates")
    forwarded = listener.get("forwarded") or listener.get("client_ip")
    if isinstance(forwarded, dict):
        sources = " ".join(_texts(forwarded.get("source")))
        draft.leave(f"forwarded at {place}", f"a setting: RUNTIME_TRUSTED_PROXIES={sources}")


def _steps(config: Mapping[str, Any], target: str, draft: Draft) -> Iterator[Mapping[str, Any]]:
    """The steps of the routes that a listener goes to, if one of them leads to the app."""
    wanted = f"applications/{draft.name}"
    if target == wanted:
        yield {}
        return
    routes = config.get("routes")
    name = target.partition("/")[2]
    found = routes.get(name) if isinstance(routes, dict) else routes
    steps = [each for each in (found if isinstance(found, list) else []) if isinstance(each, dict)]
    if any(_action(step).get("pass") == wanted for step in steps):
        yield from steps[:_STEPS_MAX]


def _action(step: Mapping[str, Any]) -> Mapping[str, Any]:
    action = step.get("action")
    return action if isinstance(action, dict) else {}


def _step(draft: Draft, step: Mapping[str, Any]) -> None:
    action, match = _action(step), step.get("match")
    match = match if isinstance(match, dict) else {}
    uris = _texts(match.get("uri"))
    if "share" in action:
        for share in (_URI.sub("${uri}", each) for each in _texts(action["share"])):
            for uri in uris or ["/*"]:
                prefix = uri.partition("*")[0].rstrip("/")
                draft.static(prefix, share.replace("${uri}", "").rstrip("/") + prefix
                             if "${uri}" in share else share)  # fmt: skip
    elif action.get("pass") == f"applications/{draft.name}":
        _match(draft, match, uris)
    elif action:
        draft.leave(f"a route: {json.dumps(step)}", "routes are the app's own, or a plugin's")


def _match(draft: Draft, match: Mapping[str, Any], uris: list[str]) -> None:
    for host in _texts(match.get("host")):
        if host.startswith("!") or "*" in host.removeprefix("*."):
            draft.leave(f"host {host}", "a host is a name, or *.name")
        elif host not in draft.manifest.get("hosts", ()):
            draft.manifest.setdefault("hosts", []).append(host)
    for uri in uris:
        if uri not in ("/*", "*"):
            draft.leave(f"uri {uri}", f"the app answers below /{draft.name}, or at `hosts`")
    for key in match.keys() - {"host", "uri"}:
        draft.leave(
            f"match.{key}",
            "an app gets all requests for its path or host, whatever else is in them",
        )


def _texts(value: object) -> list[str]:
    """One or several: `"a"` -> ["a"]."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    return [str(each) for each in items]
