"""Measures Buntime beside others and prints ratios; writes results.json and results.svg."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import scale
from bench.chart import draw
from bench.comparison import BEGIN, END, comparison
from bench.contestants import ROOT, Kind
from bench.errors import BenchError
from bench.fresh import raise_descriptor_limit
from bench.machine import BUSY_LOAD, describe
from bench.report import fill, machine_text, markdown, scenario_text, summary
from bench.results import Results, read_results, write_results
from bench.rounds import run_scenario
from bench.scenario import Entry, Scenario
from bench.scenarios import SCENARIOS
from bench.wrk import lacks_wrk

BENCH = ROOT / "bench"
PAGE = ROOT / "docs/performance.md"
README = ROOT / "README.md"
ROUNDS, SECONDS = 3, 3.0
SHORT_ROUNDS, SHORT_SECONDS = 2, 1.0


@dataclass(frozen=True)
class Plan:
    """What to measure, and for how long."""

    scenarios: tuple[Scenario, ...]
    rounds: int
    seconds: float
    is_short: bool

    def entries(self, scenario: Scenario) -> list[Entry]:
        """The scenario's entries; the short form has only Buntime's checkout and the limits."""
        if not self.is_short:
            return list(scenario.entries)
        return [e for e in scenario.entries if e.name == "buntime" or e.kind is Kind.LIMIT]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argument_parser()
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join(f"{one.name:<16} {one.about}" for one in SCENARIOS))
        return 0
    try:
        if args.report:
            results = read_results(args.output / "results.json")
            fill(PAGE, markdown(results))
            fill(README, comparison(results), BEGIN, END)
        if args.report or args.scale:
            results = read_results(args.output / "results.json")
            fill(scale.PAGE, scale.page_text(results), scale.BEGIN, scale.END)
            return 0
        plan = planned(args)
        if reason := lacks_wrk():
            print(f"bench: {'skipped, since ' if plan.is_short else ''}{reason}", file=sys.stderr)
            return 0 if plan.is_short else 2
        return carry_out(plan, None if plan.is_short else args.output)
    except (BenchError, FileNotFoundError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="build.py bench", description=__doc__)
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help="all, unless some are named"
    )
    parser.add_argument("--rounds", type=int, help=f"{ROUNDS}, with --short {SHORT_ROUNDS}")
    parser.add_argument(
        "--seconds", type=float, help=f"of a round: {SECONDS:g}, with --short {SHORT_SECONDS:g}"
    )
    parser.add_argument("--output", type=Path, default=BENCH, help="folder for the results")
    parser.add_argument(
        "--short", action="store_true", help="for CI: exit code 1 where half a bar is not reached"
    )
    parser.add_argument(
        "--report", action="store_true", help="results.json to docs/performance.md and README.md"
    )
    parser.add_argument(
        "--scale", action="store_true", help="simulate days of many pods, for docs/scale.md"
    )
    parser.add_argument("--list", action="store_true", help="the scenarios")
    return parser


def planned(args: argparse.Namespace) -> Plan:
    """The plan of the command line; raises BenchError if the arguments make no sense."""
    known = {scenario.name: scenario for scenario in SCENARIOS}
    unknown = [name for name in args.scenarios if name not in known]
    if unknown:
        raise BenchError(f"no scenario {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [known[name] for name in args.scenarios] or [
        scenario for scenario in SCENARIOS if scenario.is_short or not args.short
    ]
    rounds = args.rounds if args.rounds is not None else SHORT_ROUNDS if args.short else ROUNDS
    seconds = args.seconds
    if seconds is None:
        seconds = SHORT_SECONDS if args.short else SECONDS
    if rounds < 1 or seconds <= 0:
        raise BenchError("--rounds and --seconds are above 0")
    return Plan(tuple(chosen), rounds, seconds, args.short)


def carry_out(plan: Plan, output: Path | None) -> int:
    """Measure, print, and write after each scenario; returns 1 if a measurement failed."""
    raise_descriptor_limit()
    results: Results = {
        "begun": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": describe(),
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "scenarios": [],
    }
    print(machine_text(results), flush=True)
    if results["machine"]["load"] > BUSY_LOAD:
        say(
            f"the machine is busy, its load is {results['machine']['load']}: take no figure as true"
        )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for scenario in plan.scenarios:
            result = run_scenario(
                scenario,
                plan.entries(scenario),
                Path(folder),
                rounds=plan.rounds,
                seconds=plan.seconds,
                say=say,
            )
            results["scenarios"].append(result)
            print(scenario_text(result), flush=True)
            if output:
                output.mkdir(parents=True, exist_ok=True)
                write_results(output / "results.json", results)
                (output / "results.svg").write_text(draw(results), "utf-8")
    print(summary(results))
    return 1 if has_failed(results, plan.is_short) else 0


def has_failed(results: Results, is_short: bool) -> bool:
    """Whether a measurement failed or, in the short form, a bar was missed by more than half."""
    for scenario in results["scenarios"]:
        if scenario["failed"]:
            return True
        if is_short and any(bar["is_far_missed"] for bar in scenario["bars"]):
            return True
    return False


def say(message: str) -> None:
    print(f"bench: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    # As with Ctrl-C: what was started ends first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
