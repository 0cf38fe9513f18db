"""Lock files: `buntime/core/apps/lockfile.py`."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.lockfile import FOREIGN_NAMES, BadLock, has_hashes, lacking_lock


@pytest.mark.parametrize(
    "line",
    [
        "flask==3.0.0",
        "flask == 3.0.0",
        "flask===3.0.0-weird",
        "uvicorn[standard]==0.30.1 ; python_version >= '3.9'",
        "flask==3.0.0,!=3.0.1",
        "flask==3.0.0 --hash=sha256:00",
        "flask @ https://example.org/flask-3.0.0-py3-none-any.whl",
        "https://example.org/flask-3.0.0-py3-none-any.whl#sha256=00",
        "./wheels/flask-3.0.0-py3-none-any.whl",
        "wheels/flask-3.0.0-py3-none-any.whl",
        "flask-3.0.0-py3-none-any.whl",
        "--index-url https://example.org/simple",
        "--require-hashes",
        "--no-binary flask",
        "-f wheels",
        "# flask",
        "   ",
    ],
)
def test_exact_lines(line: str) -> None:
    """A version, a URL, a file and most of pip's options may occur in a lock file."""
    has_hashes(line.encode())


@pytest.mark.parametrize(
    "line",
    [
        "flask",
        "flask>=3",
        "flask~=3.0",
        "flask==3.*",
        "flask<4,>=3  # as usual",
        "flask[async]",
        "flask ; python_version >= '3.9'",
        "flask (>=3)",
        "flask --hash=sha256:00",
    ],
)
def test_open_versions(line: str) -> None:
    """A file with a package without an exact version is not a lock."""
    with pytest.raises(BadLock, match=r"^line 1: .flask.* leaves the version open; .*==1\.2\.3"):
        has_hashes(line.encode())


@pytest.mark.parametrize("line", ["-r base.txt", "-rbase.txt", "--requirement=a", "-c limits.txt"])
def test_other_files(line: str) -> None:
    """A lock file may not refer to others, since changes in them would go unnoticed."""
    with pytest.raises(BadLock, match=r"line 1: .* refers to another file"):
        has_hashes(line.encode())


def test_editable() -> None:
    """An app is not installed into its own environment, unlike what `uv export` writes."""
    with pytest.raises(BadLock, match=r"line 3: '-e \.' is an editable install; leave it out"):
        has_hashes(b"flask==3.0.0 \\\n    --hash=sha256:00\n-e .\n")


def test_not_text() -> None:
    """A file that is not UTF-8 is not a lock."""
    with pytest.raises(BadLock, match="UTF-8"):
        has_hashes("flask==3.0.0\n".encode("utf-16"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("flask==3.0.0\n", False),
        ("flask==3.0.0 --hash=sha256:00\n", True),
        ("flask==3.0.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n    # via x\n", True),
        ("flask==3.0.0 \\\r\n    --hash=sha256:00\r\n", True),
        ("\ufeffflask==3.0.0 --hash sha256:00", True),
        ("flask==3.0.0\n# x --hash=sha256:00\n", False),
        ("flask==3.0.0\n# goes on \\\nbottle==1.0 --hash=sha256:00\n", True),
    ],
)
def test_hashes(text: str, expected: bool) -> None:
    """Hashes count wherever a package has them, also on continued lines, but not in comments."""
    assert has_hashes(text.encode()) is expected


def test_line_numbers() -> None:
    """A message names the line on which a package starts."""
    with pytest.raises(BadLock, match="line 4: 'bottle'"):
        has_hashes(b"# made by hand\nflask==3.0.0 \\\n    --hash=sha256:00\nbottle\n")


@given(st.binary() | st.text(alphabet="ab=-.\\# \n;[]<>@/").map(str.encode))
def test_garbage(text: bytes) -> None:
    """Any bytes are a lock file or a BadLock, and nothing else."""
    try:
        has_hashes(text)
    except BadLock:
        pass


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_foreign_locks(name: str) -> None:
    """For another tool's lock file, the message gives the command that writes it in pip's
    format."""
    said = lacking_lock(["app.py", name])
    assert name in said
    assert "requirements.lock" in said


def test_no_lock() -> None:
    """If there is no lock file at all, the message lists the names that were looked for."""
    said = lacking_lock(["app.py"])
    assert "requirements.lock and requirements.txt" in said
    assert "pip freeze" in said


@pytest.mark.parametrize(
    "text", [" ", "\t#", "\\\n", "[", "==", ",==", " --", ";", "@", "a @ ", " --hash", "'"]
)
def test_no_text_is_slow(text: str) -> None:
    """A 50 kB lock file takes a moment whatever it contains: the time grows with its length. If it
    grew with the square, it would take far longer."""
    for start in (b"", b"a", b"a==1 "):
        began = time.process_time()
        with contextlib.suppress(BadLock):
            has_hashes(start + text.encode() * (50_000 // len(text)) + b"x")
        assert time.process_time() - began < 1
