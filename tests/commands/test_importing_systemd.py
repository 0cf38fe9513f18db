"""`buntime import` of systemd's units: what they become, and what is said about the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from buntime.commands.drafts import Draft
from buntime.commands.importsystemd import read_service
from buntime.core.errors import UsageError

GUNICORN = r"""
[Unit]
After=network.target
ExecStart=/not/of/a/service

[Service]
User=www-data
WorkingDirectory=/srv/shop
# a comment
Environment="PATH=/srv/shop/venv/bin" WORKERS=3 "GREETING=good day"
Environment=API_TOKEN=hunter2 HOME_OF=%h SHARE=5%%
ExecStartPre=/srv/shop/venv/bin/python manage.py migrate
ExecStartPre=/bin/mkdir -p /run/shop
ExecStart=-/srv/shop/venv/bin/gunicorn \
    --workers ${WORKERS} --threads 8 \
    --bind unix:/run/shop.sock shop.wsgi:application
MemoryMax=512M
Restart=always
"""


def read(text: str) -> Draft:
    return read_service(text, "shop.service", "/nowhere/shop.service")


def started(command: str) -> Draft:
    return read(f"[Service]\nWorkingDirectory=/srv/shop\nExecStart={command}\n")


def test_gunicorn() -> None:
    """A unit of gunicorn's becomes a manifest; no secret's value is in it or told."""
    draft = read(GUNICORN)
    assert (draft.name, draft.folder) == ("shop", "/srv/shop")
    assert draft.manifest == {
        "python": "venv/bin/python",
        "env": {"WORKERS": "3", "GREETING": "good day", "SHARE": "5%"},
        "secrets": ["API_TOKEN"],
        "release": ["/srv/shop/venv/bin/python", "manage.py", "migrate"],
        "entrypoint": "shop.wsgi:application",
        "concurrency": 8,
        "workers": 3,
    }
    told = "\n".join(draft.left)
    assert "hunter2" not in told + draft.text()
    for what in ("HOME_OF: ", "ExecStartPre=/bin/mkdir", "--bind ", "User=www-data", "MemoryMax="):
        assert what in told
    assert "Restart" not in told


@pytest.mark.parametrize(
    ("command", "manifest"),
    [
        ("uvicorn shop:app", {"entrypoint": "shop:app"}),
        ("/usr/bin/python3 -m uvicorn shop:app", {"entrypoint": "shop:app"}),
        (
            "/srv/shop/env/bin/python3.12 -m uvicorn --factory shop:make",
            {"python": "env/bin/python", "entrypoint": "shop:make()"},
        ),
        (
            "/bin/bash -lc 'exec gunicorn shop:app -w 2'",
            {"entrypoint": "shop:app", "concurrency": 1, "workers": 2},
        ),
        ("/srv/shop/.venv/bin/uvicorn shop:app", {"entrypoint": "shop:app"}),
    ],
)
def test_commands(command: str, manifest: dict[str, object]) -> None:
    """A server is found behind a path, Python and a shell; the app's environment is its Python."""
    assert started(command).manifest == manifest


@pytest.mark.parametrize("command", ["/srv/shop/venv/bin/celery -A tasks worker", "python app.py"])
def test_what_is_no_such_server(command: str) -> None:
    """What is not started by one of the servers is reported by the name of the unit's key."""
    draft = started(command)
    assert "entrypoint" not in draft.manifest
    assert [each for each in draft.left if each.startswith("ExecStart: ")]


def test_files_of_variables(tmp_path: Path) -> None:
    """They are read where they can be; one that may be missing is not reported, and no value is."""
    (tmp_path / "env").write_text("# of shop\nDEBUG='off'\nAPI_KEY=hunter2\nhunter3\n")
    files = f"EnvironmentFile={tmp_path}/env\nEnvironmentFile=-/nowhere/a\n"
    files += "EnvironmentFile=/nowhere/b\n"
    draft = read(f"[Service]\nWorkingDirectory=/srv/shop\n{files}ExecStart=gunicorn shop:app\n")
    assert draft.manifest["env"] == {"DEBUG": "off"}
    assert draft.manifest["secrets"] == ["API_KEY"]
    told = "\n".join(draft.left)
    assert "hunter" not in told + draft.text()
    assert f"{tmp_path}/env:4: it is not NAME=VALUE" in told
    assert "/nowhere/b: it is not on this machine" in told
    assert "/nowhere/a" not in told


def test_an_empty_value_forgets() -> None:
    """As with systemd, an empty value takes back what came before."""
    text = "[Service]\nEnvironment=A=1\nEnvironment=\nEnvironment=B=2\n"
    draft = read(f"{text}ExecStart=\nExecStart=gunicorn --chdir /srv/shop shop:app\n")
    assert (draft.folder, draft.manifest["env"]) == ("/srv/shop", {"B": "2"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"has no \[Service\]"),
        ("[Service]\nhello\n", "is not KEY=VALUE"),
        ("[Service]\nUser=me\n", "has no ExecStart"),
        ("[Service]\nExecStart=gunicorn shop:app\n", "WorkingDirectory"),
        ("[Service]\nWorkingDirectory=%h/shop\nExecStart=gunicorn a:b\n", "WorkingDirectory"),
        ("[Service]\nWorkingDirectory=/a\nExecStart=gunicorn 'a:b\n", "cannot be read"),
    ],
)
def test_what_is_no_unit_of_an_app(text: str, told: str) -> None:
    """It is said what is missing."""
    with pytest.raises(UsageError, match=told):
        read(text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A pipe is not waited for, and of a file that is too large no part is taken: both are told."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_text("LAST=cut\n" * 200_000)
    (tmp_path / "bytes").write_bytes(b"A=\xff\n")
    names = ("pipe", "large", "bytes", "")
    lines = "".join(f"EnvironmentFile=-{tmp_path}/{name}\n" for name in names)
    draft = read(f"[Service]\nWorkingDirectory=/srv/shop\n{lines}ExecStart=gunicorn a:b\n")
    assert "env" not in draft.manifest
    told = [line.rpartition("/")[2] for line in draft.left if "EnvironmentFile" in line]
    assert told == [
        "pipe: it cannot be read: it is not a regular file",
        "large: it cannot be read: it has more than 1 MB",
        "bytes: it is not text in UTF-8",
        ": it cannot be read: it is not a regular file",
    ]
