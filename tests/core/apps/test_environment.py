"""What workers see of the environment."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.apps.credentials import is_withheld, withheld
from buntime.core.apps.environment import worker_environment
from buntime.sdk.credentialnames import is_blocked


def environment(
    *,
    inherited: dict[str, str] | None = None,
    manifest_env: dict[str, str] | None = None,
) -> tuple[dict[str, str], tuple[str, ...]]:
    return worker_environment(
        app_dir="/apps/shop",
        base="/shop",
        entrypoint="index.py",
        config_json="{}",
        node_env="test",
        inherited=inherited or {},
        manifest_env=manifest_env or {},
    )


OWN = {
    "APP_DIR": "/apps/shop",
    "APP_BASE": "/shop",
    "ENTRYPOINT": "index.py",
    "WORKER_CONFIG": "{}",
    "NODE_ENV": "test",
}


@pytest.mark.parametrize(
    "name",
    [
        *"DATABASE_URL DB_HOST AWS_REGION GITHUB_SHA OPENAI_BASE ANTHROPIC_X STRIPE_MODE".split(),
        *"MY_KEY A_TOKEN THE_SECRET ROOT_PASSWORD RUNTIME_MASTER_KEY".split(),
        *"database_url Db_Host my_key My_Token _KEY".split(),
    ],
)
def test_blocked(name: str) -> None:
    """Names of credentials are blocked in any case."""
    assert is_blocked(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PGPASSWORD", "x"), ("token", "x"), ("CACHE", "redis://:x@cache"), ("RUNTIME_APIKEY", "x")],
)
def test_bare_credentials(name: str, value: str) -> None:
    """A name that is a bare credential word, or a value with a password, is withheld from either
    source."""
    assert is_withheld(name, value)
    assert environment(manifest_env={name: value}) == (OWN, (name,))
    assert environment(inherited={name: value}) == (OWN, (name,))


def test_what_the_runtime_says_is_never_taken_for_one() -> None:
    """`WORKER_CONFIG` is passed even if the manifest looks like a connection string."""
    text = '{"watch": ["; password=x"]}'
    env, _ = worker_environment(
        app_dir="/a://b:c@d",
        base="",
        entrypoint="",
        config_json=text,
        node_env="test",
        inherited={},
        manifest_env={},
    )
    assert (env["WORKER_CONFIG"], env["APP_DIR"]) == (text, "/a://b:c@d")


@pytest.mark.parametrize("name", ["PATH", "KEY", "TOKENS", "MY_DB_", "DBX", "MONKEY", "KEY_FILE"])
def test_not_blocked(name: str) -> None:
    """Names that merely resemble those of credentials are not blocked."""
    assert not is_blocked(name)


def test_nothing_but_its_own() -> None:
    """Without other variables a worker gets only those that describe it."""
    assert environment() == (OWN, ())


def test_inherited() -> None:
    """Of the runtime's own environment, four names and `RUNTIME_*` are passed on."""
    passed = {
        "PATH": "/bin",
        "HOME": "/root",
        "LANG": "C",
        "TZ": "UTC",
        "RUNTIME_LOG_LEVEL": "info",
    }
    kept_back = {
        "PYTHONPATH": "/x",
        "LC_ALL": "C",
        "LD_PRELOAD": "x",
        "USER": "me",
        "NODE_ENV": "x",
    }
    assert environment(inherited=passed | kept_back) == (OWN | passed, ())


def test_secrets_of_the_runtime() -> None:
    """`RUNTIME_*` does not let the runtime's own secrets through."""
    env, blocked = environment(inherited={"RUNTIME_MASTER_KEY": "k", "RUNTIME_a_token": "t"})
    assert env == OWN
    assert blocked == ("RUNTIME_MASTER_KEY", "RUNTIME_a_token")


def test_manifest_env() -> None:
    """The manifest adds variables and wins over inherited ones."""
    env, blocked = environment(
        inherited={"PATH": "/bin"}, manifest_env={"PATH": "/opt", "NODE_ENV": "x", "A": "1"}
    )
    assert env == OWN | {"PATH": "/opt", "NODE_ENV": "x", "A": "1"}
    assert blocked == ()


def test_manifest_env_is_filtered() -> None:
    """A manifest cannot pass a blocked name either, in any case."""
    env, blocked = environment(
        manifest_env={"db_url": "x", "Api_Key": "y", "A": "1"}, inherited={"API_KEY": "z"}
    )
    assert env == OWN | {"A": "1"}
    assert blocked == ("API_KEY", "Api_Key", "db_url")


def test_the_base_is_the_manifest_s_to_set() -> None:
    """Behind a proxy that adds a path, the manifest sets the full base."""
    env, _ = environment(manifest_env={"APP_BASE": "/apps/shop"})
    assert env == OWN | {"APP_BASE": "/apps/shop"}


@pytest.mark.parametrize("name", ["APP_DIR", "ENTRYPOINT", "WORKER_ID", "WORKER_CONFIG"])
def test_what_describes_the_worker_is_true(name: str) -> None:
    """The variables that the runtime sets about a worker, now or later, cannot be overridden."""
    assert environment(manifest_env={name: "x"}, inherited={name: "y"}) == (OWN, ())


NAMES = st.one_of(
    st.text(max_size=12),
    st.builds(
        lambda *parts: "".join(parts),
        st.sampled_from(["", "RUNTIME_", "DB_", "db_", "Aws_", "GITHUB_", "x"]),
        st.sampled_from(["", "PATH", "A", "url"]),
        st.sampled_from(["", "_KEY", "_token", "_Secret", "_PASSWORD", "Y"]),
    ),
    st.sampled_from(["PATH", "HOME", "LANG", "TZ", "NODE_ENV", *OWN]),
)
VARIABLES = st.dictionaries(NAMES, st.text(max_size=5))


@settings(deadline=None)
@given(VARIABLES, VARIABLES)
def test_no_blocked_name_gets_through(inherited: dict[str, str], manifest: dict[str, str]) -> None:
    """No name that reaches a worker is blocked, and each blocked one is reported."""
    env, blocked = environment(inherited=inherited, manifest_env=manifest)
    assert withheld({name: env[name] for name in env.keys() - OWN.keys()}) == ()
    assert {*blocked} == {*withheld(inherited), *withheld(manifest)}
    assert list(blocked) == sorted(blocked)


@settings(deadline=None)
@given(VARIABLES, VARIABLES)
def test_every_variable_has_a_reason(inherited: dict[str, str], manifest: dict[str, str]) -> None:
    """A worker gets its own variables, the manifest's, and the few named ones of the runtime."""
    env, _ = environment(inherited=inherited, manifest_env=manifest)
    for name, value in env.items():
        if name in OWN and name not in ("APP_BASE", "NODE_ENV"):
            assert value == OWN[name]
        elif name in manifest:
            assert value == manifest[name]
        elif name == "APP_BASE":
            assert value == OWN[name]
        elif name != "NODE_ENV":
            assert name in ("PATH", "HOME", "LANG", "TZ") or name.startswith("RUNTIME_")
            assert value == inherited[name]
