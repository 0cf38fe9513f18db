"""Servers of files and packages, used by clients of their protocols."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.apps.conftest import Site
from tests.support.wheels import make_wheel

CARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:ada\r\nFN:Ada\r\nN:;Ada;;;\r\nEND:VCARD\r\n"


ADDRESS_BOOK = """<mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><set><prop>
<resourcetype><collection/><C:addressbook/></resourcetype></prop></set></mkcol>"""


@pytest.mark.app("radicale")
def test_radicale(site: Site) -> None:
    """A collection is created, and a card put into it; its href is below the base."""
    home = f"{site.url}/ada/cards/"
    site.http.auth = ("ada", "any")
    site.http.request("DELETE", home)
    assert site.http.request("MKCOL", home, content=ADDRESS_BOOK).status_code == 201
    assert site.http.put(home + "ada.vcf", content=CARD).status_code == 201
    assert "FN:Ada" in site.get("/ada/cards/ada.vcf").text
    listed = site.http.request("PROPFIND", home, headers={"Depth": "1"})
    assert listed.status_code == 207
    assert f"<href>{site.base}/ada/cards/ada.vcf</href>" in unquote(listed.text)


@pytest.mark.app("wsgidav")
def test_wsgidav(site: Site) -> None:
    """Put, list, move with a Destination below the base, and get with a range."""
    content = bytes(range(256)) * 2000
    one, two = f"{site.url}/one.bin", f"{site.url}/two.bin"
    site.http.delete(two)
    assert site.http.put(one, content=content).is_success
    listed = site.http.request("PROPFIND", site.url + "/", headers={"Depth": "1"})
    assert f"{site.base}/one.bin" in unquote(listed.text)
    moved = site.http.request("MOVE", one, headers={"Destination": two})
    assert moved.status_code == 201, moved.text
    assert site.get("/one.bin").status_code == 404
    assert site.get("/two.bin").content == content
    part = site.get("/two.bin", headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, content[1000:2000])


@pytest.mark.app("pypiserver")
def test_pypiserver(site: Site, tmp_path: Path) -> None:
    """A wheel is uploaded, and pip installs it from the index below the base."""
    name, data = make_wheel("tea", "1.0", {"tea.py": "NAME = 'tea'\n"})
    form = {":action": "file_upload", "sha256_digest": hashlib.sha256(data).hexdigest()}
    answer = site.http.post(site.url + "/", data=form, files={"content": (name, data)})
    assert answer.status_code in (200, 409), answer.text  # 409: an earlier way has uploaded it
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install"]
    pip += ["--quiet", "--no-cache-dir", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*pip, "--index-url", f"{site.url}/simple/", "tea"], check=True, timeout=60)
    assert (tmp_path / "tea.py").read_text() == "NAME = 'tea'\n"
