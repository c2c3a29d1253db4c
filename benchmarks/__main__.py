"""`python -m benchmarks`: see README.md."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from .contest import NAME, Contest
from .gateways import CACHE, Peer, install
from .measure import Measurement, Results, prepare
from .peers import Upstreams, all_peers
from .processes import CORES, free_port
from .report import lines
from .scenarios import MOST_ROUNDS, SCENARIOS, Scenario
from .tools import mock


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure llmrouter beside other gateways."
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round: to see that it works, not to compare"
    )
    parser.add_argument("--only", default="", help="names of peers and scenarios, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help=f"rounds of every scenario, up to {MOST_ROUNDS} (3)")
    parser.add_argument("--seconds", type=float, default=2.5, help="seconds of one load (2.5)")
    parser.add_argument("--out", type=Path, help="write all figures of all rounds to this file, as JSON")
    parser.add_argument("--json", action="store_true", help="print the same JSON instead of tables")
    parser.add_argument("--list", action="store_true", help="show the names of peers and scenarios")
    parser.add_argument("--install", action="store_true", help=f"first install portkey and litellm into {CACHE}")
    return parser.parse_args()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def chosen(only: str, peers: list[Peer]) -> tuple[list[Peer], list[Scenario], bool]:
    """What `--only` leaves: some peers, some scenarios, or both, and whether faults are played.

    Names that nobody has end the run.
    """
    names = {name.strip() for name in only.split(",") if name.strip()}
    known = {peer.name for peer in peers} | {one.name for one in SCENARIOS} | {NAME}
    if names - known:
        sys.exit(f"nothing is called {', '.join(sorted(names - known))}. There are: {', '.join(sorted(known))}")
    some_peers = [peer for peer in peers if peer.name in names]
    some_scenarios = [one for one in SCENARIOS if one.name in names]
    if names == {NAME}:
        return peers, [], True
    return some_peers or peers, some_scenarios or list(SCENARIOS), not names or NAME in names


def main() -> None:
    args = arguments()
    if args.install:
        install()
    if len(CORES) < 2:
        say("there is one core only: the tools disturb what they measure")
    tools = CACHE / "tools"
    prepare(tools)
    with tempfile.TemporaryDirectory(prefix="llmrouter-bench-") as name, mock(tools) as port:
        folder = Path(name)
        peers, scenarios, faults = chosen(args.only, all_peers(Upstreams(port, free_port()), folder))
        if args.list:
            print("peers:", *(peer.name for peer in peers), "\nscenarios:", *(one.name for one in scenarios), NAME)
            return
        rounds, seconds = (1, 1.0) if args.quick else (min(args.rounds, MOST_ROUNDS), args.seconds)
        results = Results()
        if scenarios:
            results = Measurement(peers, scenarios, rounds, seconds, folder, tools, say).run()
        played = Contest(folder, say).run() if faults else None
    found = json.dumps(results.as_json() | ({NAME: played.as_json()} if played else {}), indent=1)
    if args.out:
        args.out.write_text(found + "\n")
    said = [*(lines(results, scenarios) if scenarios else ()), *(("", *played.lines()) if played else ())]
    print(found if args.json else "\n".join(said))


if __name__ == "__main__":
    main()
