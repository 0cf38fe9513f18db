"""docs/testing.md: its example is an app, and its tests pass."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "testing.md"


def check_example(folder: Path, path: str) -> None:
    """The files of the page, as printed there, work in an empty folder, with this PYTHONPATH."""
    files = re.findall(
        r"^`([\w/.]+)`\n\n```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S
    )
    assert [name for name, _ in files] == ["shop/app.py", "test_shop.py"]
    for name, text in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    env = {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # those of our tests
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_the_example(tmp_path: Path) -> None:
    """The example works with a checkout."""
    check_example(tmp_path, str(ROOT))
