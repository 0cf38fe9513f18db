"""What a manifest says about jobs and processes."""

import pytest

from buntime.core.apps.cronkeys import cron_dump, cron_jobs, processes, processes_dump
from buntime.core.apps.manifest import parse_manifest
from buntime.core.errors import ManifestError
from buntime.core.values.units import BadValue

EVERY = "*/5 * * * *"


def refused(item: object) -> str:
    with pytest.raises(BadValue) as caught:
        cron_jobs([item])
    return str(caught.value)


def test_a_request() -> None:
    """A job with a path is a POST by default, and is named after its path."""
    (job,) = cron_jobs([{"schedule": EVERY, "path": "/jobs/clean?all=1"}])
    assert (job.name, job.method, job.bare_path) == ("jobs-clean", "POST", "/jobs/clean")
    assert (job.overlap, job.timeout_s, job.timezone) == ("forbid", 600.0, "UTC")
    assert cron_dump((job,))[0]["path"] == "/jobs/clean?all=1"


def test_a_program() -> None:
    """A job may run a program of the app, given as a list or as a shell command line."""
    keys = {"schedule": "@daily", "timeout": "1h", "timezone": "Europe/Berlin", "catchUp": True}
    (one,) = cron_jobs([{**keys, "run": ["python", "manage.py", "x y"]}])
    (two,) = cron_jobs([{**keys, "run": "python manage.py 'x y'"}])
    assert one == two
    assert one.run == ("python", "manage.py", "x y")
    assert one.timeout_s == 3600
    assert cron_dump((one,))[0]["run"] == ["python", "manage.py", "x y"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schedule": None}, "schedule: nothing is not a schedule"),
        ({"schedule": "99 * * * *"}, "job 1: schedule: '99 \\* \\* \\* \\*': Bad minute"),
        ({"path": None, "run": []}, "path: nothing is not a path"),
        ({"run": "x"}, "either path, for a request, or run"),
        ({"path": "clean"}, 'begins with "/"'),
        ({"path": "/a/../b"}, "a dot segment"),
        ({"path": "/a b?x=1 HTTP/1.1\r\nX: y"}, "no plain path"),
        ({"path": "/a?x=1 2"}, "no plain path, or no query"),
        ({"path": "/a#b"}, "no plain path"),
        ({"path": "/caf\u00e9"}, "no plain path"),
        ({"method": "BREW"}, "is not one of GET, HEAD"),
        ({"method": "POST\r\nX: y"}, "is not one of"),
        ({"overlap": "maybe"}, "forbid, allow or queue"),
        ({"timeout": 0}, "too short"),
        ({"timeout": "2d"}, "write 1d or less"),
        ({"name": "a/b"}, "is not a name"),
        ({"name": "a\r\nX: y"}, "is not a name"),
        ({"timezone": "../../etc/passwd"}, "is not a time zone"),
        ({"catchup": True}, "unknown key 'catchup'; did you mean catchUp"),
        ({"cronOnly": "yes"}, "neither true nor false"),
    ],
)
def test_faults(change: dict[str, object], says: str) -> None:
    """A fault names the job, the key, the value and what is allowed."""
    with pytest.raises(BadValue, match=says):
        cron_jobs([{"schedule": EVERY, "path": "/clean", **change}])


def test_what_goes_together() -> None:
    """Keys for requests cannot be used with programs, and a schedule is required."""
    assert "are for jobs with a path" in refused({"schedule": EVERY, "run": "x", "cronOnly": True})
    assert "are for jobs with a path" in refused({"schedule": EVERY, "run": "x", "method": "GET"})
    assert "schedule is missing" in refused({"path": "/"})
    assert "is not a mapping" in refused("x")
    with pytest.raises(BadValue, match="is not a list"):
        cron_jobs({"schedule": EVERY})


def test_names_are_unique() -> None:
    """Two jobs with the same name are a fault, since runs are stored by name."""
    with pytest.raises(BadValue, match="job 2: another job is called clean; give one a `name`"):
        cron_jobs([{"schedule": EVERY, "path": "/clean"}, {"schedule": "@daily", "path": "/clean"}])
    assert len(cron_jobs([{"schedule": EVERY, "path": f"/{n}"} for n in range(100)])) == 100
    with pytest.raises(BadValue, match="101 jobs are too many"):
        cron_jobs([{"schedule": EVERY, "path": f"/{n}"} for n in range(101)])


def test_processes() -> None:
    """A process has a name, and a command as text or as a list."""
    found = processes({"worker": "celery -A tasks worker", "beat": ["celery", "beat"]})
    assert processes_dump(found) == {
        "worker": ["celery", "-A", "tasks", "worker"],
        "beat": ["celery", "beat"],
    }


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (["x"], "is not a mapping"),
        ({"a b": "x"}, "is not a name"),
        ({"a": ""}, "a: 0 words are not a command"),
        ({"a": "'x"}, "No closing quotation"),
        ({"a": ["x", 5]}, "5 is not text"),
        ({"a": ["x\0y"]}, "has a null"),
        ({"a": 5}, "5 is not a command"),
        ({str(n): "x" for n in range(21)}, "21 processes are too many"),
    ],
)
def test_faults_of_processes(value: object, says: str) -> None:
    """A fault names the process, the value and what is allowed."""
    with pytest.raises(BadValue, match=says):
        processes(value)


def test_a_star_without_quotes() -> None:
    """YAML takes a star for an alias, so the fault says to use quotes."""
    text = b"cron:\n  - schedule: */5 * * * *\n    path: /clean\n"
    with pytest.raises(ManifestError, match=r"shop.yaml:2: .*put text .* in quotes"):
        parse_manifest(text, path="shop.yaml", body_default=1, body_max=1)
