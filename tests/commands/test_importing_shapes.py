"""`buntime import` on files as people have them.

Each row names the repository where a file of this shape was found. Names and values are our own;
only which keys occur together, and how their values look, is taken from it.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from buntime.commands.drafts import Draft
from buntime.commands.importprocfile import read_env, read_procfile, take_env
from buntime.commands.importunit import read_unit
from buntime.commands.importuwsgi import read_uwsgi
from tests.commands.test_importing import left, manifest_of


class Shape(NamedTuple):
    source: str
    text: str
    manifest: dict[str, Any]  # a part of the resulting manifest
    told: tuple[str, ...] = ()  # each is in the remarks on what is left
    untold: tuple[str, ...] = ()  # none of these is


def unit(app: dict[str, Any], *steps: dict[str, Any], **more: Any) -> str:
    """A configuration with one application, `a`, below /srv/a."""
    target = "routes" if steps else "applications/a"
    return json.dumps(
        {
            "listeners": {"*:8000": {"pass": target}},
            "applications": {"a": {"type": "python 3", "module": "wsgi", **app}},
            **({"routes": list(steps)} if steps else {}),
            **more,
        }
    )


STATIC = {"match": {"uri": "/static/*"}, "action": {"share": "/srv/a$uri"}}
TO_APP = {"action": {"pass": "applications/a"}}
UNITS = [
    Shape(
        "PostHog/posthog: unit.json.tpl",
        unit(
            {
                "type": "python 3.12",
                "processes": 4,
                "working_directory": "/srv/a",
                "path": ".",
                "module": "a.asgi",
                "protocol": "asgi",
                "user": "nobody",
                "limits": {"requests": 7500},
            },
            settings={"http": {"max_body_size": 22020096}},
        ),
        {
            "entrypoint": "a.asgi:application",
            "python": "3.12",
            "workers": 4,
            "maxRequests": 7500,
            "maxBodySize": 22020096,
        },
        ("user", "listens at"),
    ),
    Shape(
        "nginx/unit-docs: Django Channels",
        unit(
            {
                "path": "/srv/a/",
                "home": "/srv/venv/",
                "module": "site.asgi",
                "environment": {"DJANGO_SETTINGS_MODULE": "site.settings"},
            },
            STATIC,
            TO_APP,
        ),
        {
            "static": {"/static": "static"},
            "python": "/srv/venv/bin/python",
            "env": {"DJANGO_SETTINGS_MODULE": "site.settings"},
        },
        untold=("/static",),
    ),
    Shape(
        "datenfruehstueck/osd2f: README",
        unit(
            {
                "type": "python 3.10",
                "protocol": "asgi",
                "path": "/srv/a/",
                "home": "/srv/a/venv/",
                "module": "a.__main__",
                "callable": "app",
                "user": "u",
                "group": "g",
                "environment": {"A_SECRET": "x", "A_MODE": "Survey", "A_DB_URL": "sqlite:///a.db"},
            },
        ),
        {
            "entrypoint": "a.__main__:app",
            "python": "venv/bin/python",
            "secrets": ["A_SECRET"],
            "env": {"A_MODE": "Survey", "A_DB_URL": "sqlite:///a.db"},
        },
        ("A_SECRET", "user", "group"),
    ),
    Shape(
        "DirectAdmin's manual: Unit",
        unit(
            {
                "type": "python 3.9",
                "path": "/srv/a",
                "callable": "application",
                "environment": {"FLASK_APP": "wsgi.py", "PYTHONPATH": "/srv/a"},
                "isolation": {"rootfs": "/srv/a", "namespaces": {"mount": True}},
            },
            {"match": {"uri": "/static/*"}, "action": {"share": "/srv/a/app/static$uri"}},
            TO_APP,
        ),
        {"entrypoint": "wsgi:application", "env": {"FLASK_APP": "wsgi.py"}},
        ("isolation",),
        ("PYTHONPATH",),
    ),
    Shape(
        "a Dockerfile's start of Unit",
        unit({"type": "python", "path": "/www/"}),
        {"entrypoint": "wsgi:application"},
    ),
]
UWSGIS = [
    Shape(
        "francescocontin/vagrant-flask-uwsgi: uwsgi_config.ini.tpl",
        "module = wsgi:app\n\nmaster = true\nprocesses = 5\n\nsocket = /tmp/a.sock\n"
        "uid = www-data\ngid = www-data\nchmod-socket = 666\nvacuum = true\n\ndie-on-term = true\n"
        "logto = /var/log/uwsgi/%n.log\n",
        {"entrypoint": "wsgi:app", "workers": 5, "concurrency": 1},
        ("uid", "gid", "socket"),
        ("logto", "vacuum", "master"),
    ),
    Shape(
        "indigoparadox/webdows95: src/uwsgi.ini.m4",
        "if-env = VIRTUAL_ENV\nvirtualenv = %(_)\nendif =\nmodule = a:app\nplugins = python3\n",
        {"entrypoint": "a:app"},
        ("virtualenv",),
    ),
    Shape(
        "topogram/weibo-miner-deploy: usgwi_flask.tpl",
        "uid = www-data\ngid = root\nprocesses = 2\nvirtualenv = /srv/venv\n"
        "pythonpath = /srv/a\npidfile = /tmp/a.pid\nsocket = /tmp/a.sock\nmodule = wsgi\n"
        "callable = app\nlogdate = true\n",
        {"entrypoint": "wsgi:app", "python": "/srv/venv/bin/python"},
        untold=("pidfile", "logdate"),
    ),
    Shape(
        "luca-matei/dima: uwsgi.tpl",
        "socket = 127.0.0.1:90\nchdir = /srv/a\nvirtualenv = /srv/av\nmodule = app:application\n"
        "harakiri = 30\npost-buffering = 32768\nbuffer-size = 32768\nlogfile = /a.log\n",
        {"entrypoint": "app:application", "timeout": "30s", "python": "/srv/av/bin/python"},
    ),
    Shape(
        "one with a spaced table of options",
        "socket         = /var/run/a.sock\nchown-socket   = nginx:nginx\nmodule         = c.wsgi\n"
        "max-requests   = 10000\nlogger \t       = faults file:/tmp/a.log\n"
        "hook-master-start = unix_signal:15 gracefully_kill_them_all\n",
        {"entrypoint": "c.wsgi:application", "maxRequests": 10000},
        ("hook-master-start",),
    ),
    Shape(
        "one that includes another, with cheaper",
        "; which file\nini = /app/uwsgi.ini\ncheaper = 2\nprocesses = 16\nneed-app = true\n"
        "show-config = true\nroute = ^/state/* donotlog:\n",
        {"workers": 16},
        ("ini = /app/uwsgi.ini", "cheaper", "route", "module"),
        ("show-config",),
    ),
    Shape(
        "one with names of its own",
        "my_folder = /srv/a/code\nmy_user = pdi\nchdir = %(my_folder)\n"
        "socket = %(my_folder)/a.sock\n"
        "#callable = other:app\nfile = wsgi.py\ncallable = app\nenv = CUDA_VISIBLE_DEVICES=-1\n"
        "lazy-apps = true\nuid = %(my_user)\n",
        {"entrypoint": "wsgi.py:app", "env": {"CUDA_VISIBLE_DEVICES": "-1"}},
        ("uid = pdi",),
        ("my-folder", "my-user"),
    ),
    Shape(
        "a manual's, with comments behind values",
        "base = /srv/a\nchdir = %(base)/blog  # the project\nwsgi-file=%(base)/blog/wsgi.py\n"
        "callable = app\nlogto = %(chdir)/logs/%n.log  # %n is the file\nprocesses=4\nthreads=2\n"
        "master=True\n",
        {"entrypoint": "wsgi.py:app", "workers": 4, "concurrency": 2},
        untold=("base", "logto"),
    ),
    Shape(
        "one of a packaged uWSGI",
        "plugins = python36\nchdir = /srv/a\nmodule = a:application\nenv=A_CONFIG=/etc/a.ini\n"
        "uid = root\nsocket = /run/a.sock\nchown-socket = root:nginx\n",
        {"env": {"A_CONFIG": "/etc/a.ini"}},
    ),
    Shape(
        "pcolmant/repanier: docs",
        "vhost = true\nplugins = python35\nsocket = /tmp/a.sock\nprocesses = 1\nthreads = 2\n"
        "wsgi-file = /srv/a/a/wsgi.py\nvirtualenv = /srv/a/\nchdir = /srv/a/a/\nharakiri = 360\n",
        {"entrypoint": "wsgi.py", "timeout": "360s", "concurrency": 2},
    ),
    Shape(
        "a Docker image's",
        "http-socket = :8080\nchdir = /opt/app/\nmodule = app:app\n",
        {"entrypoint": "app:app"},
        ("http-socket",),
    ),
]
GUNICORN = "gunicorn c.wsgi:application"
PROCFILES = [
    Shape(
        "tvo25/graditude: Procfile",
        f"release: python manage.py migrate\nweb: {GUNICORN}\n"
        "worker_beat: celery --app=c.celery_app worker -B -l info\n"
        "worker: celery worker --app=c.celery_app --loglevel=info\n",
        {
            "entrypoint": "c.wsgi:application",
            "release": ["python", "manage.py", "migrate"],
            "concurrency": 1,
        },
    ),
    Shape(
        "uktrade/market-access-api: Procfile",
        f"web: python manage.py migrate --noinput && {GUNICORN} --bind 0.0.0.0:$PORT "
        "--worker-class gevent --worker-connections 1000 --timeout 120 --log-file -\n"
        "celerybeat: celery -A c.celery beat -l info -S django\n",
        {
            "entrypoint": "c.wsgi:application",
            "timeout": "120s",
            "release": ["python", "manage.py", "migrate", "--noinput"],
        },
        ("gevent", "0.0.0.0:$PORT"),
    ),
    Shape(
        "one below src",
        f"web: cd src && {GUNICORN} --workers 2 --threads 4 --worker-class gthread --log-file -\n"
        "worker: cd src && celery -A c worker\n"
        "release: cd src && python manage.py migrate --noinput && python manage.py collectstatic\n",
        {
            "entrypoint": "c.wsgi:application",
            "path": ["src"],
            "workers": 2,
            "concurrency": 4,
            "processes": {"worker": ["sh", "-c", "cd src && celery -A c worker"]},
        },
    ),
    Shape(
        "one in a folder of its own",
        "web: python -m gunicorn q.wsgi:application --chdir site --log-file - --workers 3\n"
        "# the project is found by the worker\nrelease: python site/manage.py migrate --noinput\n",
        {"entrypoint": "q.wsgi:application", "path": ["site"], "workers": 3},
    ),
    Shape(
        "one with a default for the port",
        "web: python manage.py migrate --noinput && python manage.py collectstatic --noinput && "
        "gunicorn c.asgi:application --bind 0.0.0.0:${PORT:-8000} "
        "-k uvicorn.workers.UvicornWorker --log-file -\n",
        {"entrypoint": "c.asgi:application"},
        ("${PORT:-8000}",),
        ("worker class",),
    ),
    Shape(
        "one whose environment says how many",
        "web: gunicorn p.core.asgi:application -w $A_WORKERS -b unix:/app/a.sock "
        "-k uvicorn.workers.UvicornWorker -e A_SETTINGS=prod\n"
        "release: A_SETTINGS=prod python manage.py migrate --no-input\n",
        {
            "entrypoint": "p.core.asgi:application",
            "env": {"A_SETTINGS": "prod"},
            "release": ["sh", "-c", "A_SETTINGS=prod python manage.py migrate --no-input"],
        },
        ("-w $A_WORKERS",),
    ),
    Shape(
        "one with a program in between",
        f"web: python manage.py migrate --noinput && python startup.py && {GUNICORN} "
        "--timeout 600 --access-logfile - --error-logfile - --log-level info\n",
        {"entrypoint": "c.wsgi:application", "timeout": "600s"},
        ("python startup.py",),
    ),
    Shape(
        "cookiecutter-django: Procfile",
        f"release: python manage.py migrate\nweb: {GUNICORN}\n"
        "worker: REMAP_SIGTERM=SIGQUIT celery -A c.celery_app worker --loglevel=info\n",
        {
            "processes": {
                "worker": [
                    *("sh", "-c"),
                    "REMAP_SIGTERM=SIGQUIT celery -A c.celery_app worker --loglevel=info",
                ]
            }
        },
    ),
]
ENVS = [
    Shape(
        "piku's manual: ENV",
        "# variables\nSETTING1=True\nSETTING2=${SETTING1}/Maybe\n\nPORT=9080\n"
        "BIND_ADDRESS=0.0.0.0\nRANGE=10\nPIKU_AUTO_RESTART=0\n",
        {"env": {"SETTING1": "True", "SETTING2": "True/Maybe", "RANGE": "10"}},
    ),
    Shape(
        "radgrad-docker: nginx.env, as an ENV",
        "NGINX_SERVER_NAME=example.org\nLETSENCRYPT_EMAIL=user@example.org\n",
        {"hosts": ["example.org"], "env": {"LETSENCRYPT_EMAIL": "user@example.org"}},
    ),
]


def check(shape: Shape, draft: Draft) -> None:
    made = manifest_of(draft)
    assert {key: made.get(key) for key in shape.manifest} == shape.manifest
    told = left(draft)
    assert [each for each in shape.told if each not in told] == []
    assert [each for each in shape.untold if each in told] == []


def named(shape: Shape) -> str:
    return shape.source


@pytest.mark.parametrize("shape", UNITS, ids=named)
def test_unit(shape: Shape) -> None:
    """A configuration of Unit."""
    [draft] = read_unit(shape.text, "unit.json")
    check(shape, draft)


@pytest.mark.parametrize("shape", UWSGIS, ids=named)
def test_uwsgi(shape: Shape) -> None:
    """A file of uWSGI."""
    [draft] = read_uwsgi(f"[uwsgi]\n{shape.text}", "a.ini", "/srv/a/a.ini")
    check(shape, draft)


@pytest.mark.parametrize("shape", PROCFILES, ids=named)
def test_procfile(shape: Shape) -> None:
    """A Procfile."""
    check(shape, read_procfile(shape.text, "Procfile", "/srv/a"))


@pytest.mark.parametrize("shape", ENVS, ids=named)
def test_env(shape: Shape) -> None:
    """A file ENV of piku, beside a Procfile."""
    draft = read_procfile("wsgi: main:app\n", "Procfile", "/srv/a")
    take_env(draft, read_env(shape.text, "ENV"))
    check(shape, draft)
