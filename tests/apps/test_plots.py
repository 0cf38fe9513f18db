"""A plotting library, which looks for fonts, keeps a cache in HOME and loads compiled modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apps.conftest import INSTALLED, PYTHON
from tests.support.client import fetch
from tests.support.fence import needs_sandbox
from tests.support.harness import running, write_app

PLOT = """
import io
import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot
from buntime import Response

def fetch(request):
    figure, axes = pyplot.subplots()
    axes.plot([1, 2])
    axes.set_title("a title")
    picture = io.BytesIO()
    figure.savefig(picture)
    pyplot.close(figure)
    if request.path == "/cache":
        return Response.json([matplotlib.get_cachedir(), matplotlib.get_configdir()])
    return Response(picture.getvalue(), headers={"content-type": "image/png"})
"""


@needs_sandbox
@pytest.mark.skipif("matplotlib" not in INSTALLED, reason="not in this part of the apps")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("level", ["standard", "strict"])
def test_matplotlib(tmp_path: Path, level: str) -> None:
    """It draws at both levels of the sandbox, and keeps its files in the app's own folder."""
    write_app(tmp_path / "plot", {"app.py": PLOT}, ttl=600, sandbox=level)
    state = tmp_path / "state"
    env = {"RUNTIME_PYTHON": PYTHON, "RUNTIME_STATE_DIR": str(state)}
    with running(tmp_path, env=env) as runtime:
        assert fetch(runtime, "/plot/").body.startswith(b"\x89PNG")
        for folder in fetch(runtime, "/plot/cache").json():
            assert Path(folder).is_relative_to(state)
        said = [record["message"] for record in runtime.records if record["event"] == "app.output"]
        assert [line for line in said if "temporary" in line] == []  # as it says without a folder
