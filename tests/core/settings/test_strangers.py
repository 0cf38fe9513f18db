"""Variables that look like settings but are none are reported."""

from buntime.core.settings.settingtable import SETTINGS
from buntime.core.settings.strangers import strangers


def test_each_is_told_with_what_may_be_meant() -> None:
    """Each is reported with its source, and with a similar setting or how to list them."""
    environ = {"RUNTIME_POLL_SIZE": "3", "RUNTIME_TYPO": "", "PROT": "1"}
    otherwise = "correct or remove it: buntime config show lists all settings"
    assert list(strangers(environ, {"RUNTIME_LOGLEVEL": "info"}, "my.env")) == [
        "RUNTIME_LOGLEVEL (from my.env) is not a setting; did you mean RUNTIME_LOG_LEVEL?",
        (
            "RUNTIME_POLL_SIZE (from the environment) is not a setting; "
            "did you mean RUNTIME_POOL_SIZE?"
        ),
        f"RUNTIME_TYPO (from the environment) is not a setting; {otherwise}",
    ]


def test_settings_are_none() -> None:
    """Real settings are not reported, nor the variables for a Kubernetes Service "runtime"."""
    known = {name: "" for row in SETTINGS for name in (row.variable, row.also) if name}
    service = ("RUNTIME_SERVICE_HOST", "RUNTIME_SERVICE_PORT_HTTP", "RUNTIME_PORT")
    of_service = dict.fromkeys((*service, "RUNTIME_PORT_8000_TCP_ADDR"), "")
    assert list(strangers(known | of_service, known, ".env")) == []
