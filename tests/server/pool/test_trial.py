"""`buntime check`: apps are loaded once, one after the other, and a verdict comes of each."""

from __future__ import annotations

from pathlib import Path

from buntime.server.pool.trial import Trial, Verdict, find_apps
from tests.support.fakes import FakeSink, make_log
from tests.support.harness import write_app
from tests.support.settings import make_settings

GOOD = "def fetch(request):\n    return 'hello'\n"


def verdicts(folder: Path, **variables: str) -> dict[str, Verdict]:
    """What comes of the apps in the folder, in the order in which it was told."""
    settings = make_settings(folder, RUNTIME_SPARE_WORKERS="0", **variables)
    log = make_log(FakeSink())
    told: list[Verdict] = []
    Trial(settings, log, told.append).run(find_apps(settings, log.warn))
    return {each.key: each for each in told}


def test_each_app_gets_a_verdict(tmp_path: Path) -> None:
    """One that loads, one that does not, a static one and a faulty folder, in their order."""
    write_app(tmp_path / "bad", {"app.py": "raise RuntimeError('a bad deploy')\n"})
    write_app(tmp_path / "faulty", {"app.py": GOOD}, ttl="soon")
    write_app(tmp_path / "good", {"app.py": GOOD})
    write_app(tmp_path / "site", {"index.html": "<p>hello"})
    found = verdicts(tmp_path)
    assert list(found) == ["bad", "faulty", "good", "site"]
    assert "a bad deploy" in found["bad"].error
    assert "ttl" in found["faulty"].error
    assert found["good"].error == found["site"].error == ""
    assert found["good"].python is not None
    assert found["site"].python is None


def test_a_prewarmed_app_is_loaded_once(tmp_path: Path) -> None:
    """With `prewarm` a worker loads it anyway, and that one is looked at."""
    code = "import pathlib\npathlib.Path(__file__).with_name('loads').open('a').write('x')\n"
    folder = write_app(tmp_path / "warm", {"app.py": code + GOOD}, ttl=60, prewarm=1)
    assert verdicts(tmp_path)["warm"].error == ""
    assert (folder / "loads").read_text() == "x"


def test_an_app_that_takes_too_long(tmp_path: Path) -> None:
    """Its verdict is the boot's time that has passed."""
    write_app(tmp_path / "slow", {"app.py": "import time\ntime.sleep(60)\n"})
    found = verdicts(tmp_path, RUNTIME_BOOT_TIMEOUT="1s")
    assert found["slow"].error == "the app did not load in 1 s"
    assert found["slow"].seconds >= 1.0


def test_an_interpreter_that_cannot_be_started(tmp_path: Path) -> None:
    """A `python` that is not there is the manifest's fault."""
    write_app(tmp_path / "lost", {"app.py": GOOD}, python="/no/such/python")
    assert "/no/such/python" in verdicts(tmp_path)["lost"].error
