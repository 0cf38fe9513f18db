"""What the task `image` decides before it builds; .ci/run tests what it builds and runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from artifacts import image


def test_skipped_without_a_builder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without buildah it is skipped, with the reason."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(image.Skipped, match="there is no buildah"):
        list(image.examine())


def test_skipped_without_storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A buildah that cannot work here is a reason to skip, given in buildah's own words."""
    program = tmp_path / "buildah"
    program.write_text("#!/bin/sh\necho cannot clone: not permitted >&2; exit 125\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(image.Skipped, match="cannot work here: cannot clone: not permitted"):
        list(image.examine())


def test_pip_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An index is passed on, certificates are copied, and folders of this machine are left out."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("a certificate\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example.org/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"file://{tmp_path} {tmp_path} https://more.example")
    monkeypatch.setenv("PIP_CERT", str(bundle))
    files = image.pip_settings()
    assert set(files) == {"/etc/pip.conf", "/etc/pip.pem"}
    assert "index-url = https://index.example.org/simple\n" in files["/etc/pip.conf"]
    assert "extra-index-url = https://more.example\n" in files["/etc/pip.conf"]
    assert "cert = /etc/pip.pem\n" in files["/etc/pip.conf"]
    assert files["/etc/pip.pem"] == "a certificate\n"
