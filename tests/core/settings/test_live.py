"""The current settings, and what follows them."""

from dataclasses import replace

from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings, load_settings, reloaded


def settings(**environ: str) -> Settings:
    return load_settings(
        args={},
        environ={"RUNTIME_WORKER_DIRS": "/srv/apps", **environ},
        dotenv={},
        mode="pyz",
        cores=2,
    )


def test_a_change_is_whole() -> None:
    """When followers are called, all new settings already apply, for everyone."""
    live = LiveSettings(settings(RUNTIME_POOL_SIZE="3"))
    seen: list[tuple[str, Settings, Settings]] = []
    live.follow(lambda new: seen.append(("first", new, live.now)))
    live.follow(lambda new: seen.append(("second", new, live.now)))
    assert seen == []
    new = settings(RUNTIME_POOL_SIZE="7", RUNTIME_MASTER_KEY="k")
    live.replace(new)
    assert [(name, a is b is new) for name, a, b in seen] == [("first", True), ("second", True)]


def test_the_key_is_not_shown() -> None:
    """Neither the settings nor the object that holds them show the key."""
    assert "geheim" not in repr(LiveSettings(settings(RUNTIME_MASTER_KEY="geheim")))


def test_what_takes_a_restart_stays() -> None:
    """Live settings are taken from the reloaded ones; the others are named, and stay."""
    old = settings(RUNTIME_LOG_LEVEL="info", RUNTIME_API_PREFIX="/a")
    read = settings(RUNTIME_LOG_LEVEL="warn", RUNTIME_API_PREFIX="/b")
    now, changed, late = reloaded(old, read)
    assert now == replace(old, log_level="warn")
    assert (changed, late) == (["RUNTIME_LOG_LEVEL"], ["RUNTIME_API_PREFIX"])


def test_nothing_has_changed() -> None:
    """Reloading the same settings changes nothing."""
    assert reloaded(settings(), settings()) == (settings(), [], [])
