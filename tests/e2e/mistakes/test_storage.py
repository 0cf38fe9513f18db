"""Mistakes with places that keep things: a state folder that is none, an archive that is too large,
and a disk without room. Each message says what is wrong, where, and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.support.client import fetch
from tests.support.disks import small_disk
from tests.support.harness import OPERATORS_KEY, Runtime, running, write_app
from tests.support.mistakes import FETCH, Told
from tests.support.runs import run

UPLOAD_MAX = 2000
KEY = {"X-API-Key": OPERATORS_KEY}
STATE = Told("not a folder", "{state}", "RUNTIME_STATE_DIR")
LARGE = Told("larger than 2000 bytes", "the body", "raise RUNTIME_UPLOAD_MAX")
FULL = Told("must stay free", "{disk}", "make room")


class Place(NamedTuple):
    runtime: Runtime
    folder: Path
    state: Path
    disk: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A runtime whose state folder is a file, and whose deploys have a disk of 8 MB."""
    folder = tmp_path_factory.mktemp("storage")
    state, disk = folder / "state", folder / "disk"
    state.touch()
    write_app(folder / "apps/shop", {"app.py": FETCH})
    write_app(folder / "small", {"app.py": FETCH})
    write_app(folder / "large", {"app.py": FETCH, "noise": os.urandom(2 * UPLOAD_MAX).hex()})
    with small_disk(disk, size="8m", inodes=500):
        env = {
            "RUNTIME_STATE_DIR": str(state),
            "RUNTIME_DEPLOY_DIR": str(disk),
            "RUNTIME_WORKER_DIRS": f"{folder / 'apps'}:{disk}",
            "RUNTIME_UPLOAD_MAX": str(UPLOAD_MAX),
            "RUNTIME_MASTER_KEY": OPERATORS_KEY,
        }
        with running(folder / "apps", disk, env=env) as runtime:
            yield Place(runtime, folder, state, disk)


def deployed(place: Place, name: str) -> str:
    """What `buntime deploy` prints when it is refused."""
    env = {"HOME": str(place.folder), "BUNTIME_KEY": OPERATORS_KEY}
    words = ("deploy", f"./{name}", "--to", place.runtime.url)
    done = run(*words, cwd=place.folder, env=env)
    assert done.returncode == 1, done.stdout
    return done.stderr


def check(text: str, told: Told, place: Place) -> None:
    for piece in told:
        assert piece.format(state=place.state, disk=place.disk) in text, text


def test_a_state_folder_that_is_a_file(place: Place) -> None:
    """In the log, in the panel and in the terminal."""
    record = place.runtime.wait_for_record("state.unavailable")
    check(f"{record['message']} {record['error']}", STATE, place)
    items = fetch(place.runtime, "/api/attention", headers=KEY).json()["items"]
    [item] = [each for each in items if each["code"] == "state_unavailable"]
    check(f"{item['text']} {item['hint']}", STATE, place)
    env = {"RUNTIME_STATE_DIR": str(place.state), "HOME": str(place.folder)}
    done = run("doctor", "apps", cwd=place.folder, env=env)
    check(done.stdout, Told("not a folder", "{state}", "run: mv state state.old"), place)


@pytest.mark.parametrize("sent", ["whole", "in pieces"])
def test_an_archive_that_is_too_large(sent: str, place: Place) -> None:
    """The API refuses it by its length, or once too much has come, and names the setting."""
    data = bytes(UPLOAD_MAX + 1)
    content = data if sent == "whole" else iter([data[:1000], data[1000:]])
    url = f"{place.runtime.url}/api/apps/up/versions/1.0.0"
    answer = httpx.put(url, content=content, headers=KEY, verify=False)
    assert answer.status_code == 413
    check(answer.json()["error"]["message"], LARGE, place)


def test_a_folder_that_is_too_large(place: Place) -> None:
    """The same in the terminal."""
    check(deployed(place, "large"), LARGE, place)


def test_a_disk_without_room(place: Place) -> None:
    """A deploy is refused before its archive is sent, in the terminal and by the API."""
    check(deployed(place, "small"), FULL, place)
    url = f"{place.runtime.url}/api/apps/up/versions/1.0.0"
    answer = httpx.put(url, content=b"x" * 100, headers=KEY, verify=False)
    assert answer.status_code == 507
    check(answer.json()["error"]["message"], FULL, place)
