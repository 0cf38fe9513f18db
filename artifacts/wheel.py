"""Makes the wheel and the sdist, the same bytes at each build: see pyproject.toml."""

import os
import subprocess
import tempfile
from pathlib import Path

from artifacts.environments import BuildError

ROOT = Path(__file__).resolve().parents[1]
_TIME_S = "1577836800"  # 2020, for all files in both: PyPI accepts it; not the build's own time


def build(python: Path, target: Path, project: Path = ROOT) -> list[Path]:
    """Write both to the folder `target`; `python` has the backend. Returns the wheel and the sdist.

    Raises BuildError.
    """
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as made:
        done = subprocess.run(
            [python, "-m", "hatchling", "build", "--directory", made],
            cwd=project,
            env={**os.environ, "SOURCE_DATE_EPOCH": _TIME_S},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildError(f"hatchling could not build it: {done.stderr.strip()}")
        files = sorted(Path(made).iterdir(), key=lambda path: path.suffix != ".whl")
        return [path.replace(target / path.name) for path in files]
