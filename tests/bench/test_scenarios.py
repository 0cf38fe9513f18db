"""The scenarios as data, the command line, and one scenario that is run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import argument_parser, has_failed, main, planned
from bench.clients import connected, expect, worker_pids
from bench.contestants import BARE_LOOP, BARE_RELAY, Kind, buntime
from bench.errors import BenchError
from bench.figures import RATE, Bar, Direction
from bench.limits import spawn_rate
from bench.loads import Among, Beside, Calls, Download, Echo, Get, Load, Upload, expect_workers
from bench.peers import asgi
from bench.results import Results
from bench.rounds import run_scenario
from bench.scenario import Entry, Measure, Scenario, computed
from bench.scenarios import SCENARIOS
from bench.servers import resident_bytes
from bench.sites import COPIES, FEW, FOLDERS, lay_out
from tests.support.harness import ROOT, children_of, is_alive, wait_until

NAMES = [scenario.name for scenario in SCENARIOS]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_bars_name_entries(scenario: Scenario) -> None:
    """A bar compares entries of its scenario, by a metric that the scenario shows."""
    names = [entry.name for entry in scenario.entries]
    assert len(set(names)) == len(names)
    for bar in scenario.bars:
        assert bar.who in names
        assert bar.of is None or bar.of in names
        assert bar.metric in scenario.metrics


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_first_entry_is_ours(scenario: Scenario) -> None:
    """Ratios are to the first entry, which is Buntime."""
    assert scenario.entries[0].kind is Kind.OURS


def test_documented() -> None:
    """docs/performance.md describes each scenario and each of its bars."""
    page = (ROOT / "docs/performance.md").read_text("utf-8")
    method, bars = page.split("\n### Bars\n")
    scenario_rows = [line for line in method.splitlines() if line.startswith("| `")]
    told = {name for line in scenario_rows for name in re.findall("`(.*?)`", line.split(" | ")[0])}
    assert told == set(NAMES)
    judged = [line for line in bars.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    told = {name for line in judged for name in re.findall("`(.*?)`", line.split(" | ")[0])}
    assert told == {scenario.name for scenario in SCENARIOS if scenario.bars}


def test_short() -> None:
    """The short form has few scenarios, with only Buntime and the limits in them."""
    plan = planned(argument_parser().parse_args(["--short"]))
    assert [one.name for one in plan.scenarios] == [
        "warm-noop",
        "warm-noop-1",
        "ephemeral-noop",
        "static-4kb",
    ]
    assert (plan.rounds, plan.seconds) == (2, 1.0)
    for scenario in plan.scenarios:
        assert {entry.kind for entry in plan.entries(scenario)} == {Kind.OURS, Kind.LIMIT}


def test_all_by_default() -> None:
    """By default all scenarios run, three rounds of three seconds each."""
    plan = planned(argument_parser().parse_args([]))
    assert (plan.scenarios, plan.rounds, plan.seconds) == (SCENARIOS, 3, 3.0)
    assert plan.entries(SCENARIOS[0]) == list(SCENARIOS[0].entries)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["warm-nop"], "no scenario warm-nop; there are warm-noop"),
        (["--rounds", "0"], "above 0"),
        (["--seconds", "0"], "above 0"),
    ],
)
def test_faulty_arguments(arguments: list[str], message: str) -> None:
    """Arguments that make no sense are refused before anything is started."""
    with pytest.raises(BenchError, match=message):
        planned(argument_parser().parse_args(arguments))


def test_without_wrk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without wrk the short form is skipped and the long one fails; both say what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--short"]) == 0
    assert "skipped, since wrk is missing (Debian: apt install wrk)" in capsys.readouterr().err
    assert main(["warm-noop"]) == 2
    assert "bench: wrk is missing (Debian: apt install wrk)" in capsys.readouterr().err


def scenario(*entries: Entry) -> Scenario:
    bars = (Bar(Direction.AT_LEAST, 0.5, RATE, "limit", who="one"),)
    return Scenario("made-up", "for a test", (RATE,), entries, bars)


def test_rounds(tmp_path: Path) -> None:
    """Entries are measured in turn, for the seconds of a round, and judged at the end."""
    order: list[str] = []

    def measured(name: str, rate: float) -> Measure:
        def measure(seconds: float) -> dict[str, float]:
            order.append(name)
            return {"rate": rate * seconds}

        return measure

    made_up = scenario(computed("one", measured("1", 30)), computed("limit", measured("2", 40)))
    said: list[str] = []
    result = run_scenario(
        made_up, made_up.entries, tmp_path, rounds=2, seconds=2.0, say=said.append
    )
    assert order == ["1", "2", "2", "1"]
    assert [entry["median"] for entry in result["entries"]] == [{"rate": 60.0}, {"rate": 80.0}]
    assert [bar["ratio"] for bar in result["bars"]] == [0.75]
    assert len(said) == 4


def test_failures(tmp_path: Path) -> None:
    """An entry that fails or is missing has no figure; others have theirs; all servers end."""
    ended: list[str] = []

    @contextlib.contextmanager
    def ready(_: Path) -> Iterator[Measure]:
        def fail(_: float) -> dict[str, float]:
            raise BenchError("an answer was wrong")

        try:
            yield fail
        finally:
            ended.append("one")

    made_up = scenario(
        Entry("one", Kind.OURS, ready),
        computed("limit", lambda _: {"rate": 1.0}),
        Entry("other", Kind.PEER, ready, lacks=lambda: "it is missing"),
    )
    result = run_scenario(
        made_up, made_up.entries, tmp_path, rounds=3, seconds=1.0, say=lambda _: None
    )
    assert result["failed"] == {"one": "an answer was wrong"}
    assert result["left_out"] == {"other": "it is missing"}
    assert [entry["name"] for entry in result["entries"]] == ["limit"]
    assert result["bars"][0]["is_met"] is None
    assert ended == ["one"]
    results: Results = {
        "begun": "",
        "machine": {},
        "rounds": 3,
        "seconds": 1.0,
        "scenarios": [result],
    }
    assert has_failed(results, is_short=False)


@pytest.mark.parametrize("load", [Get(), Get("/noop/", mode="varied")], ids=["plain", "varied"])
def test_bare_loop(load: Load, tmp_path: Path) -> None:
    """The bare loop gives the answers that it is compared by."""
    with BARE_LOOP.serve(tmp_path / "loop") as server:
        load.check(server)


def test_wrong_answers_are_noticed(tmp_path: Path) -> None:
    """A contestant that answers with other bytes than expected is not measured."""
    with (
        BARE_LOOP.serve(tmp_path / "loop") as server,
        pytest.raises(BenchError, match="answered 200 with 2 bytes b'ok', not 200 with 1024 bytes"),
    ):
        Echo().check(server)


def test_bare_relay(tmp_path: Path) -> None:
    """The relay passes on the requested number of bytes, in both directions."""
    with BARE_RELAY.serve(tmp_path / "relay") as server:
        Download().check(server)
        Upload().check(server)
        assert server.resident_bytes() > 0


def test_calls_are_timed(tmp_path: Path) -> None:
    """The app times each of its calls; an answer that is not a list of times is an error."""
    with buntime("calls", "noop", plugins=("store",)).serve(tmp_path / "ours") as server:
        Calls().check(server)
        sample = Calls().measure(server, 0.01)
        with pytest.raises(BenchError, match="no times"):
            Calls("/noop/").check(server)
    assert 0 < sample["p50_ms"] <= sample["p99_ms"]


def test_server_ends(tmp_path: Path) -> None:
    """A contestant, and the processes that it started, are gone afterwards."""
    with BARE_RELAY.serve(tmp_path / "relay") as server:
        pids = [server.pid, *children_of(server.pid)]
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_alive, pids)), what="the end of both")


def test_spawns() -> None:
    """Each thread starts at least one interpreter, however short the time."""
    sample = spawn_rate(2, seconds=0.0)
    assert sample["rate"] > 0
    assert resident_bytes(os.getpid()) > 0


def test_many_folders(tmp_path: Path) -> None:
    """`noop` and its copies add up to the scenario's number of folders, and each is an app."""
    folders = list(lay_out(tmp_path, ("noop", "pair")).iterdir())
    assert len(folders) == COPIES["pair"] + 1 == 3
    assert all((folder / "index.py").is_file() for folder in folders)
    assert COPIES["folders"] + 1 == FOLDERS


def test_workers_of_other_apps(tmp_path: Path) -> None:
    """The check loads a worker of each app; a wrong number of workers is an error."""
    with buntime("noop", "few").serve(tmp_path / "ours") as server:
        Beside(FEW).check(server)
        expect_workers(server, least=FEW + 1, most=FEW + 1)
        with pytest.raises(BenchError, match="6 workers have an app, not 7 to 9"):
            expect_workers(server, least=7, most=9)


def test_workers_of_one_app(tmp_path: Path) -> None:
    """The check waits until the app has all of its workers."""
    with buntime("handful").serve(tmp_path / "ours") as server:
        Among("handful", FEW).check(server)
        expect_workers(server, least=FEW, most=FEW + 4)


@pytest.mark.parametrize("app", ["cpu", "cpu-async"])
def test_computing(app: str, tmp_path: Path) -> None:
    """A worker computes for a millisecond of its own processor time, even on a busy machine."""
    requests = 100
    with buntime(app).serve(tmp_path / "ours") as server, connected(server.port) as client:
        expect(client.get(f"/{app}/"), b"ok")
        [pid] = worker_pids(client)
        before_s = cpu_seconds(pid)
        for _ in range(requests):
            expect(client.get(f"/{app}/"), b"ok")
        spent_s = sum(map(cpu_seconds, worker_pids(client))) - before_s
    assert spent_s > 0.001 * requests / 2  # it is counted in hundredths of a second


def test_the_peer_computes() -> None:
    """The server that it is compared with computes for as long."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read")

    before_s = time.thread_time()
    asyncio.run(asgi({"type": "http", "path": "/cpu/"}, receive, send))
    assert time.thread_time() - before_s >= 0.001
    assert sent[-1]["body"] == b"ok"


def cpu_seconds(pid: int) -> float:
    """A process's processor time, in user mode and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
