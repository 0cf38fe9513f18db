"""`buntime import`: what files of other servers become, and what is said about the rest.

We wrote the files here ourselves; which keys occur together, and how their values look, is as in
configurations that people run.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from buntime.commands.cli import main
from buntime.commands.drafts import Draft, words_of
from buntime.commands.importprocfile import read_env, read_procfile, take_env
from buntime.commands.importunit import read_unit
from buntime.commands.importuwsgi import read_uwsgi
from buntime.core.apps.manifest import parse_manifest
from buntime.core.errors import UsageError


def manifest_of(draft: Draft) -> dict[str, Any]:
    """The manifest that is written, read as YAML; it must be valid."""
    text = draft.text()
    parse_manifest(text.encode(), path="x", body_default=1, body_max=1 << 40)
    return dict(yaml.safe_load(text) or {})


def left(draft: Draft) -> str:
    return "\n".join(draft.left)


# Unit

UNIT: dict[str, Any] = {
    "listeners": {
        "0.0.0.0:8080": {
            "pass": "routes/front",
            "forwarded": {"client_ip": "X-Forwarded-For", "source": ["10.0.0.0/8"]},
        },
        "*:8081": {"pass": "routes/health"},
    },
    "routes": {
        "front": [
            {"match": {"uri": "/static/*"}, "action": {"share": "/opt/inventory/app${uri}"}},
            {
                "match": {"host": ["inventory.example.com", "!old.example.com"]},
                "action": {"pass": "applications/inventory"},
            },
        ],
        "health": [{"action": {"proxy": "http://unix:/run/control.sock"}}],
    },
    "applications": {
        "inventory": {
            "type": "python 3",
            "path": "/opt/inventory/app/",
            "module": "inventory.wsgi",
            "home": "/opt/inventory/venv",
            "processes": {"max": 4, "spare": 1, "idle_timeout": 120},
            "user": "nobody",
            "environment": {"TZ": "Europe/Berlin", "SECRET_KEY": "hunter2"},
        },
        "events": {
            "type": "python 3.12",
            "working_directory": "/code",
            "path": ["src", "."],
            "module": "events.asgi",
            "callable": "app",
            "protocol": "asgi",
            "processes": 2,
            "limits": {"requests": 7500, "timeout": 10},
        },
        "blog": {"type": "php", "root": "/www/blog"},
    },
    "settings": {"http": {"max_body_size": 104857600}},
    "access_log": "/dev/stdout",
}


@pytest.mark.parametrize("whole", [UNIT, {"certificates": {}, "config": UNIT}])
def test_unit(whole: dict[str, Any]) -> None:
    """Each Python application becomes a manifest, from a file and from what Unit's API prints."""
    inventory, events, blog = read_unit(json.dumps(whole), "unit.json")
    assert (inventory.name, inventory.folder) == ("inventory", "/opt/inventory/app")
    assert manifest_of(inventory) == {
        "entrypoint": "inventory.wsgi:application",
        "python": "/opt/inventory/venv/bin/python",
        "workers": 4,
        "prewarm": 1,
        "idleTimeout": "120s",
        "concurrency": 1,
        "ttl": "none",
        "maxRequests": "none",
        "env": {"TZ": "Europe/Berlin"},
        "secrets": ["SECRET_KEY"],
        "hosts": ["inventory.example.com"],
        "static": {"/static": "static"},
        "maxBodySize": 104857600,
    }
    told = left(inventory)
    assert "buntime secrets set inventory SECRET_KEY" in told
    assert "hunter2" not in told + inventory.text()
    assert "host !old.example.com" in told
    assert 'user: "nobody": apps run as the runtime' in told
    assert "listens at 0.0.0.0:8080" in told
    assert "RUNTIME_TRUSTED_PROXIES=10.0.0.0/8" in told
    assert "8081" not in told
    assert manifest_of(events) == {
        "entrypoint": "events.asgi:app",
        "path": ["src"],
        "python": "3.12",
        "workers": 2,
        "maxRequests": 7500,
        "timeout": "10s",
        "ttl": "none",
        "idleTimeout": "none",
        "keep": True,
        "maxBodySize": 104857600,
    }
    assert (blog.manifest, "only applications in Python" in left(blog)) == ({}, True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"applications": []}', "[" * 9999])
def test_what_is_no_unit_json(text: str) -> None:
    """A file that is not Unit's is an error, not a configuration without apps."""
    with pytest.raises(UsageError):
        read_unit(text, "unit.json")


# uWSGI

VASSAL = """
; a vassal
[uwsgi]
base = /srv
project = orders
chdir = %(base)/%(project)
home = %(base)/%(project)/.venv
module = %(project).wsgi:application
pythonpath = lib
env = DJANGO_SETTINGS_MODULE=orders.settings
env = DB_PASSWORD=hunter2
socket = /run/uwsgi/%n.sock
chmod-socket = 664
uid = www-data
master = true
processes = 5
threads = 2            # each
harakiri = 30
max-requests = 5000
reload-on-rss = 512
limit-post = 20971520
buffer-size = 65535
static-map = /static=%(chdir)/assets
static-map = /media=/var/media
cron2 = minute=-10,hour=3 %(home)/bin/python manage.py clearsessions
cron = 0 4 -1 -1 1 /usr/bin/tidy --all
attach-daemon = celery -A orders worker
gevent = 100
cache2 = name=default,items=100
vacuum = true
"""


def test_uwsgi() -> None:
    """A vassal becomes a manifest; placeholders are filled in, untranslatable keys named."""
    [draft] = read_uwsgi(VASSAL, "orders-web.ini", "/etc/uwsgi/vassals/orders-web.ini")
    assert (draft.name, draft.folder) == ("orders-web", "/srv/orders")
    assert manifest_of(draft) == {
        "entrypoint": "orders.wsgi:application",
        "path": ["lib"],
        "workers": 5,
        "concurrency": 2,
        "timeout": "30s",
        "maxRequests": 5000,
        "maxMemory": "512mb",
        "maxBodySize": 20971520,
        "static": {"/static": "assets"},
        "cron": [
            {"name": "cron1", "schedule": "*/10 3 * * *",
             "run": ["/srv/orders/.venv/bin/python", "manage.py", "clearsessions"]},
            {"name": "cron2", "schedule": "0 4 * * 1", "run": ["/usr/bin/tidy", "--all"]},
        ],
        "processes": {"daemon": ["celery", "-A", "orders", "worker"]},
        "ttl": "none",
        "idleTimeout": "none",
        "keep": True,
        "env": {"DJANGO_SETTINGS_MODULE": "orders.settings"},
        "secrets": ["DB_PASSWORD"],
    }  # fmt: skip
    told = left(draft)
    for word in ("socket = /run/uwsgi/orders-web.sock", "uid = www-data", "/media from /var/media",
                 "gevent = 100", "cache2 = name=default,items=100"):  # fmt: skip
        assert word in told
    for word in ("buffer-size", "vacuum", "master", "hunter2", "base ="):
        assert word not in told


@pytest.mark.parametrize(
    ("lines", "entrypoint"),
    [
        ("module = wsgi\ncallable = app", "wsgi:app"),
        ("wsgi-file = config/wsgi.py", "config/wsgi.py"),
        ("wsgi-file = /srv/x/main.py\ncallable = app", "main.py:app"),
        ("mount = /x=main:app", "main:app"),
        ("w = main", "main:application"),
    ],
)
def test_entrypoints_of_uwsgi(lines: str, entrypoint: str) -> None:
    """A module, a file, and the name in it that is served."""
    [draft] = read_uwsgi(f"[uwsgi]\nchdir = /srv/x\n{lines}\n", "uwsgi.ini", "/etc/uwsgi.ini")
    assert (draft.name, manifest_of(draft)["entrypoint"]) == ("x", entrypoint)


def test_uwsgi_with_values_from_elsewhere() -> None:
    """Values from the environment or from other files are left to the reader to write."""
    text = "[uwsgi]\nmodule = a\nprocesses = $(WORKERS)\nini = base.ini\nthreads = many\n%\n= 1\n"
    [draft] = read_uwsgi(text, "a.ini", "/etc/a.ini")
    assert "processes = $(WORKERS): it is from the environment" in left(draft)
    assert "ini = base.ini: import that file too" in left(draft)
    assert "threads = many: it is not a number" in left(draft)
    with pytest.raises(UsageError, match=r"no section \[uwsgi\]"):
        read_uwsgi("[app:main]\nuse = egg:x\n", "a.ini", "/etc/a.ini")


def test_placeholders_without_end() -> None:
    """Placeholders that form a loop, or grow without end, take no time and no memory."""
    loop = "[uwsgi]\nmodule = %(x)\nx = %(y)%(y)\ny = %(x)%(x)\n"
    chain = "".join(f"k{number} = %(k{number + 1})%(k{number + 1})\n" for number in range(60))
    for text in (loop, f"[uwsgi]\nmodule = %(k0)\n{chain}k60 = xxxxxxxx\n"):
        [draft] = read_uwsgi(text, "a.ini", "/etc/a.ini")
        assert len(draft.text()) < 1_000_000


# Procfile and ENV


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("gunicorn config.wsgi:application --bind 0.0.0.0:$PORT --workers 3 --timeout 120",
         {"entrypoint": "config.wsgi:application", "workers": 3, "timeout": "120s",
          "concurrency": 1}),
        ("gunicorn config.wsgi --log-file -",
         {"entrypoint": "config.wsgi:application", "concurrency": 1}),
        ("gunicorn --bind :$PORT -w 4 -k uvicorn.workers.UvicornWorker config.asgi:application",
         {"entrypoint": "config.asgi:application", "workers": 4}),
        ("cd src && gunicorn shop.wsgi:app --threads 4 --worker-class gthread",
         {"entrypoint": "shop.wsgi:app", "concurrency": 4, "path": ["src"]}),
        ("python manage.py migrate --noinput && gunicorn shop.wsgi:app",
         {"entrypoint": "shop.wsgi:app", "concurrency": 1}),
        ("uvicorn main:app --host 0.0.0.0 --port $PORT", {"entrypoint": "main:app"}),
        ("uv run uvicorn shop:create --factory --workers 2",
         {"entrypoint": "shop:create()", "workers": 2}),
        ("MODE=live gunicorn shop:app",
         {"entrypoint": "shop:app", "concurrency": 1, "env": {"MODE": "live"}}),
        ("python -m hypercorn shop.asgi:app --bind=:80", {"entrypoint": "shop.asgi:app"}),
        ("uv run --frozen gunicorn shop:app", {"entrypoint": "shop:app", "concurrency": 1}),
        ("gunicorn shop:app --max-requests 0", {"entrypoint": "shop:app", "concurrency": 1}),
        ("node server.js", {}),
    ],
)  # fmt: skip
def test_web_of_procfiles(command: str, wanted: dict[str, Any]) -> None:
    """The server's flags show what the app is and how it runs; other servers are reported."""
    draft = read_procfile(f"web: {command}\n", "Procfile", "/src/shop")
    release = draft.manifest.pop("release", None)
    assert (release is None) == ("migrate" not in command)
    always = {"ttl": "none", "maxRequests": "none", "idleTimeout": "none", "keep": True}
    assert manifest_of(draft) == (wanted | always if wanted else {})
    assert ("write `entrypoint`" in left(draft)) == (not wanted)


@pytest.mark.parametrize(
    ("command", "entrypoint"),
    [
        ("gunicorn -u app -g app wsgi", "wsgi:application"),
        ("gunicorn --pid shop.pid --logger-class a.Logger wsgi", "wsgi:application"),
        ("gunicorn --of-next-year shop.pid wsgi", "wsgi:application"),
        ("gunicorn wsgi --of-next-year shop.pid", "wsgi:application"),
        ("gunicorn --of-next-year wsgi", "wsgi:application"),
        ("uvicorn --lifespan on app.main:app", "app.main:app"),
        ("uvicorn --of-next-year on --debug app.main:app", "app.main:app"),
    ],
)
def test_values_of_flags_are_no_apps(command: str, entrypoint: str) -> None:
    """A word after a flag is not taken for the app where another one can be meant."""
    draft = read_procfile(f"web: {command}\n", "Procfile", "/src/shop")
    assert draft.manifest["entrypoint"] == entrypoint


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("uwsgi shop.ini", "import shop.ini instead"),
        ("uwsgi --http :80 --wsgi-file app.py", "its flags are not read"),
        ("gunicorn -c settings.py shop:app", "-c settings.py: that file is not read"),
        ("gunicorn -u www shop:app", "-u www: apps run as the runtime's user"),
        ("uvicorn shop:app --root-path /x", "the folder's name is the base"),
    ],
)
def test_why_a_command_is_not_carried_over(command: str, why: str) -> None:
    """What a person must do by hand is reported with the reason."""
    assert why in left(read_procfile(f"web: {command}\n", "Procfile", "/src/shop"))


def test_a_file_that_gunicorn_reads_unasked(tmp_path: Path) -> None:
    """Its settings would be lost without a word."""
    (tmp_path / "gunicorn.conf.py").touch()
    draft = read_procfile("web: gunicorn shop:app\n", "Procfile", str(tmp_path))
    assert "gunicorn.conf.py: that file is not read" in left(draft)
    other = read_procfile("web: uvicorn shop:app\n", "Procfile", str(tmp_path))
    assert other.left == []


@pytest.mark.parametrize("order", [1, -1])
def test_what_runs_before_the_app(order: int) -> None:
    """The commands of `release` and those in front of the server all run, in this order."""
    lines = ["release: ./tidy; ./fill", "web: ./migrate x && ./collectstatic && gunicorn shop:app"]
    draft = read_procfile("\n".join(lines[::order]), "Procfile", "/src/shop")
    words = ["sh", "-c", "(./tidy; ./fill) && ./migrate x && ./collectstatic"]
    assert draft.manifest["release"] == words


@pytest.mark.parametrize("env", ["UWSGI_IDLE=x\n", "UWSGI_IDLE=0\n", "UWSGI_MAX_REQUESTS=0\n"])
def test_no_limit_where_there_was_none(env: str) -> None:
    """A value that cannot be carried over does not give the app the runtime's own default."""
    draft = read_procfile("web: gunicorn shop:app\n", "Procfile", "/src/shop")
    take_env(draft, read_env(env, "ENV"))
    made = manifest_of(draft)
    assert (made["maxRequests"], made["idleTimeout"], made["keep"]) == ("none", "none", True)


def test_a_procfile_with_its_env() -> None:
    """Other processes, schedules, and the variables that piku itself reads."""
    procfile = (
        "wsgi: main:app\nworker: REMAP_SIGTERM=SIGQUIT celery -A main worker\n"
        "# by the clock\ncron1: */5 * * * * python batch.py\nbad-cron: python x.py\n"
        "cron2: often python x.py\npreflight: rm -rf cache\n"
    )
    env = (
        "# one\nSETTING1=True\nSETTING2=${SETTING1}/Maybe\nPORT=9080\nUWSGI_PROCESSES=2\n"
        "UWSGI_IDLE=60\nNGINX_SERVER_NAME=shop.example.com www.example.com\n"
        "NGINX_STATIC_PATHS=/static:public,/up:../uploads\nNGINX_CACHE_TIME=60\n"
        "export STRIPE_KEY='sk_live'\n"
    )
    draft = read_procfile(procfile, "Procfile", "/src/shop")
    take_env(draft, read_env(env, "ENV"))
    assert manifest_of(draft) == {
        "entrypoint": "main:app",
        "concurrency": 1,
        "processes": {
            "worker": ["sh", "-c", "REMAP_SIGTERM=SIGQUIT celery -A main worker"],
            "bad-cron": ["python", "x.py"],
        },
        "cron": [{"name": "cron1", "schedule": "*/5 * * * *", "run": ["python", "batch.py"]}],
        "ttl": "none",
        "maxRequests": "none",
        "workers": 2,
        "idleTimeout": "60s",
        "hosts": ["shop.example.com", "www.example.com"],
        "static": {"/static": "public"},
        "env": {"SETTING1": "True", "SETTING2": "True/Maybe"},
        "secrets": ["STRIPE_KEY"],
    }
    told = left(draft)
    for word in ("cron2: often", "preflight", "PORT=9080", "NGINX_CACHE_TIME", "/up from ../up"):
        assert word in told
    assert "sk_live" not in told + draft.text()


def test_a_site_of_a_procfile() -> None:
    """A Procfile with only a static site becomes a site."""
    draft = read_procfile("static: public\n", "Procfile", "/src/shop")
    assert manifest_of(draft) == {"entrypoint": "public/index.html"}


@pytest.mark.parametrize("text", ["", "no colon\n", "web:\n"])
def test_what_is_no_procfile(text: str) -> None:
    """A file that is not a Procfile is an error."""
    with pytest.raises(UsageError):
        read_procfile(text, "Procfile", "/src/shop")


@pytest.mark.parametrize("command", ["a && b", "A=1 b", "echo $HOME", "say 'it", "a | b", "a > f"])
def test_commands_for_a_shell(command: str) -> None:
    """A command that needs a shell gets one; any other is split into words."""
    assert words_of(command) == ["sh", "-c", command]
    assert words_of("celery -A 'my shop' worker") == ["celery", "-A", "my shop", "worker"]


# Values that a manifest cannot have


def test_values_that_no_manifest_has(tmp_path: Path) -> None:
    """Invalid values are left out and named with the reason, and the rest is written."""
    draft = Draft("shop", "/srv/shop", "x", {"entrypoint": "a.py", "workers": -3, "nonsense": 1})
    draft.manifest["hosts"] = ["http://not a host"]
    assert manifest_of(draft).keys() == {
        "entrypoint", "ttl", "maxRequests", "idleTimeout", "keep",
    }  # fmt: skip
    assert "workers: -3" in left(draft)
    assert "no key nonsense" in left(draft)
    assert "hosts: " in left(draft)


LINES = st.lists(
    st.sampled_from(
        ["[uwsgi]", "module = a", "cron = 1", "cron2 = minute=x,y z", "static-map = a", "home = ",
         "chdir = ../..", "processes = 99999999999999999999", "env = A", "env = LD_PRELOAD=x",
         "attach-daemon = 'x", "= x", "%(x)", "wsgi-file = /", "mount = ", "x" * 500]
    ) | st.text(max_size=20),
    max_size=8,
)  # fmt: skip


@given(LINES)
def test_any_ini(lines: list[str]) -> None:
    """Any INI text gives a manifest, or an error."""
    try:
        drafts = read_uwsgi("[uwsgi]\n" + "\n".join(lines), "x.ini", "/etc/x.ini")
    except UsageError:
        return
    for draft in drafts:
        manifest_of(draft)


KEYS = st.text(max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
APP_KEYS = ["type", "module", "callable", "path", "working_directory", "home", "processes",
            "threads", "limits", "environment", "protocol", "user"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(APP_KEYS), VALUES), VALUES, VALUES)
def test_any_unit_json(app: dict[str, Any], listeners: Any, routes: Any) -> None:
    """Any JSON of Unit gives a manifest, or an error."""
    app = {**app, "type": "python"}
    told = {"applications": {"x": app}, "listeners": listeners, "routes": routes}
    for draft in read_unit(json.dumps(told), "unit.json"):
        manifest_of(draft)


@given(st.text(max_size=40), st.lists(st.sampled_from(["gunicorn", "-w", "--", "a:b", "'", "&&"])))
def test_any_procfile(text: str, words: list[str]) -> None:
    """Any Procfile and ENV give a manifest, or an error."""
    for content in (text, f"web: {' '.join(words)} {text}", f"worker: {text}", f"cron: {text}"):
        try:
            draft = read_procfile(content, "Procfile", "/src/x")
            take_env(draft, read_env(text, "ENV"))
        except UsageError:
            continue
        manifest_of(draft)


# The command


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "Procfile").write_text("web: gunicorn shop:app -w 2\n")
    (folder / "ENV").write_text("MODE=live\n")
    monkeypatch.chdir(tmp_path)
    return folder


def ran(*words: str) -> int:
    return main(["import", *words], mode="checkout")


def test_writing(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A manifest is written beside the app's files; an existing one only with --force."""
    assert ran("shop/Procfile", "shop/ENV", "--dry-run") == 0
    assert "entrypoint: " in capsys.readouterr().out
    assert sorted(os.listdir(shop)) == ["ENV", "Procfile"]
    assert ran("shop/Procfile", "shop/ENV") == 0
    assert f"shop: {shop}/buntime.yaml\n" in capsys.readouterr().out
    told = yaml.safe_load((shop / "buntime.yaml").read_text())
    assert (told["workers"], told["env"]) == (2, {"MODE": "live"})
    assert ran("shop/Procfile") == 2
    assert "buntime.yaml is there already; --force" in capsys.readouterr().err
    (shop / "Procfile").write_text("web: gunicorn shop:app -w 3\n")
    assert ran("shop/Procfile", "--force", "--json") == 0
    [app] = json.loads(capsys.readouterr().out)["apps"]
    assert (app["file"], app["manifest"]["workers"]) == (f"{shop}/buntime.yaml", 3)


@pytest.mark.parametrize(
    ("name", "why"),
    [("api", "it is the runtime's own path"), ("my shop", "no request could reach it")],
)
def test_a_name_that_cannot_be_served(
    name: str, why: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifest is written all the same: its folder can be renamed."""
    (shop.parent / name).mkdir()
    (shop.parent / name / "Procfile").write_text("web: gunicorn shop:app\n")
    assert ran(f"{name}/Procfile") == 0
    assert f"not carried over: the name {name}: {why}; rename the" in capsys.readouterr().out


def test_apps_of_another_machine(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Manifests of apps whose folder does not exist here go where --into says: all or none."""
    (shop.parent / "unit.json").write_text(json.dumps(UNIT))
    assert ran("unit.json") == 2
    assert "is not here; name a folder to write to with --into DIR" in capsys.readouterr().err
    assert ran("unit.json", "--into", "apps") == 0
    assert sorted(os.listdir(shop.parent / "apps")) == ["events", "inventory"]
    assert "blog: no manifest\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "import needs files"),
        (("none.ini",), 2, "none.ini cannot be read"),
        (("shop",), 2, "shop cannot be read: it is not a regular file"),
        (("large.ini",), 2, "large.ini cannot be read: it has more than 4 MB"),
        (("odd.toml",), 2, "its name does not say what it is"),
        (("php.json",), 1, "no app was found"),
    ],
)
def test_faulty_lines(
    shop: Path, words: tuple[str, ...], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be imported is an error."""
    (shop.parent / "odd.toml").write_text("x = 1")
    (shop.parent / "large.ini").write_bytes(b"[uwsgi]\n" + b"#" * (4 << 20))
    (shop.parent / "php.json").write_text('{"applications": {"x": {"type": "php"}}}')
    assert ran(*words) == code
    assert says in capsys.readouterr().err


def test_the_name_is_that_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Secrets and hosts go by the app's name, which is not that of a vassal's file."""
    folder = tmp_path / "shop"
    folder.mkdir()
    text = f"[uwsgi]\nchdir = {folder}\nmodule = shop.wsgi\nenv = API_TOKEN=x\n"
    said = "the name vassal: the app has that of its folder, shop, also for its secrets"
    for name, words, told in (
        ("vassal", (), True),
        ("shop", (), False),
        ("vassal", ("--into", str(tmp_path / "apps")), False),
    ):
        (tmp_path / f"{name}.ini").write_text(text)
        assert ran(str(tmp_path / f"{name}.ini"), *words, "--dry-run") == 0
        assert (said in capsys.readouterr().out) is told
