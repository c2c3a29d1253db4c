"""The benchmark's own tools: a measurement is worth what they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from benchmarks import contestants, gateways
from benchmarks.__main__ import chosen
from benchmarks.bodies import NUMBER, SIZES, BodyKind, body, body_file
from benchmarks.contest import Contest, cases
from benchmarks.gateways import Peer
from benchmarks.goals import GOALS, Goal, added, of, ratio
from benchmarks.measure import Measurement, Results, prepare
from benchmarks.peers import Upstreams, all_peers
from benchmarks.processes import PEER_CORE, Process, free_port
from benchmarks.report import bound, lines
from benchmarks.scenarios import SCENARIOS, Scenario, figures, trouble
from benchmarks.tools import Load, Target, mock, run_load

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc compiles the tools")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def port(tools: Path) -> Iterator[int]:
    with mock(tools) as port:
        yield port


def loaded(tools: Path, target: Target, kind: BodyKind, requests: int = 20, mark: str = "") -> dict[str, Any]:
    marks = {"stream": "[DONE]"}
    load = Load(connections=2, seconds=5, warm_up=0, requests=requests, mark=mark or marks.get(kind, "quick brown"))
    return run_load(tools / "load", target, body_file(kind, target.model, tools), load)


# --- the tools


@pytest.mark.parametrize("kind", ["chat", "same", "large"])
def test_every_request_is_counted_once(tools: Path, port: int, kind: BodyKind) -> None:
    run = loaded(tools, Target(port, "/v1/chat/completions"), kind)
    assert (run["good"], run["bad"], run["errors"], run["hung"], run["finished"]) == (20, 0, 0, 0, 20)
    assert not trouble(run)


def test_every_event_of_a_stream_is_counted(tools: Path, port: int) -> None:
    run = loaded(tools, Target(port, "/v1/chat/completions"), "stream", requests=3)
    assert (run["good"], run["all_events"]) == (3, 3 * 51)


def test_paced_events_come_when_they_are_due(tools: Path, port: int) -> None:
    run = loaded(tools, Target(port, "/p2/v1/chat/completions"), "stream", requests=2)
    assert run["gap_us"]["p50"] == pytest.approx(2_000, rel=0.5)
    assert run["latency_us"]["p50"] >= 49 * 2_000


def test_a_delayed_answer_takes_its_time(tools: Path, port: int) -> None:
    run = loaded(tools, Target(port, "/d5/v1/chat/completions"), "chat", requests=4)
    assert run["latency_us"]["p50"] >= 5_000


def test_a_refused_request_is_bad_and_says_why(tools: Path, port: int) -> None:
    run = loaded(tools, Target(port, "/s503/v1/chat/completions"), "chat", requests=3)
    assert (run["good"], run["bad"], run["bad_status"]) == (0, 3, 503)
    assert "as asked for" in trouble(run)


def test_an_answer_that_is_not_whole_is_bad(tools: Path, port: int) -> None:
    run = loaded(tools, Target(port, "/v1/chat/completions"), "chat", requests=3, mark="a word it never says")
    assert (run["good"], run["bad"]) == (0, 3)


def test_an_upstream_that_is_not_there_is_an_error(tools: Path) -> None:
    load = Load(connections=1, seconds=0.05, warm_up=0, mark="x")
    run = run_load(tools / "load", Target(free_port(), "/"), body_file("chat", "m", tools), load)
    assert run["errors"] > 0
    assert "no good answer" in trouble(run)


def test_no_two_requests_are_equal_in_other_runs_neither(tools: Path) -> None:
    seen: list[bytes] = []

    class Seeing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            seen.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "11")
            self.end_headers()
            self.wfile.write(b"quick brown")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Seeing) as server:
        Thread(target=server.serve_forever).start()
        for _ in range(2):
            assert loaded(tools, Target(server.server_port, "/"), "chat", requests=5)["good"] == 5
        server.shutdown()
    assert len(set(seen)) == len(seen) == 10


def test_bodies_have_their_size_and_a_number_to_replace() -> None:
    kinds: tuple[BodyKind, ...] = ("chat", "same", "stream", "large")
    for kind in kinds:
        made = body(kind, "m")
        assert abs(len(made) - SIZES[kind]) < 200
        assert (NUMBER.encode() in made) == (kind != "same")
        assert json.loads(made).get("stream", False) == (kind == "stream")


def test_a_process_ends_with_its_children(tmp_path: Path) -> None:
    process = Process(["sh", "-c", "sleep 60 & sleep 60"], PEER_CORE, tmp_path / "log")
    assert not process.ended
    assert process.memory_mb() >= 0
    process.stop()
    assert process.ended


# --- a whole measurement


def test_a_measurement_of_the_upstream_itself(tools: Path, port: int, tmp_path: Path) -> None:
    peers = [peer for peer in all_peers(Upstreams(port, free_port()), tmp_path) if peer.name == "direct"]
    peers.append(Peer(name="nobody", target=lambda route: Target(1, "/"), missing="not installed"))
    some = [one for one in SCENARIOS if one.name in ("chat-1", "failover-503")]
    said: list[str] = []
    results = Measurement(peers, some, 2, 0.05, tmp_path, tools, said.append).run()
    assert len(results.rounds["chat-1"]["direct"]) == 2
    assert "failover-503" not in results.rounds, "the upstream alone fails over to nothing"
    assert results.skipped == {"nobody": "not installed"}
    report = "\n".join(lines(results, some))
    assert "skipped: nobody: not installed" in report
    assert json.dumps(results.as_json())


def test_every_peer_can_be_asked_for_every_route(port: int, tmp_path: Path) -> None:
    for peer in all_peers(Upstreams(port, free_port()), tmp_path):
        for scenario in SCENARIOS:
            if not scenario.only or peer.name in scenario.only:
                target = peer.target(scenario.route.replace("{round}", "0"))
                assert target.path.endswith("/v1/chat/completions")


# --- goals


def measured(**by_peer: dict[str, float]) -> Results:
    return Results(rounds={"chat-1": {peer: [found] for peer, found in by_peer.items()}})


def test_a_goal_says_whether_it_is_kept() -> None:
    goal = Goal("x", lambda results: None, must=1 / 4, goal=1 / 8)
    verdicts = [goal.verdict(value) for value in (0.1, 0.2, 0.3, None)]
    assert verdicts == ["met, and the goal", "met", "not met", "not measured"]
    faster = Goal("x", lambda results: None, must=4, goal=8, at_least=True)
    assert [faster.verdict(value) for value in (9, 5, 3)] == ["met, and the goal", "met", "not met"]


def test_ratios_are_ours_over_theirs_beyond_the_upstream() -> None:
    results = measured(direct={"p50": 1.0}, llmrouter={"p50": 2.0}, portkey={"p50": 5.0})
    figure = ratio(added("llmrouter", "chat-1", "p50"), added("portkey", "chat-1", "p50"))
    assert figure(results) == 0.25
    assert ratio(of("llmrouter", "chat-1", "p50"), of("nginx", "chat-1", "p50"))(results) is None
    assert bound(GOALS[1], 0.25) == "1/4"


def test_every_goal_can_be_looked_up_in_an_empty_measurement() -> None:
    assert [goal.verdict(goal.figure(Results())) for goal in GOALS] == ["not measured"] * len(GOALS)


def test_figures_are_per_request_and_per_event() -> None:
    run = {"rate": 10.0, "finished": 4, "all_events": 8, "latency_us": {"p50": 3.0}}
    assert figures(run, 2.0) == {
        "rate": 10.0,
        "latency_us.p50": 3.0,
        "cpu_us": 500_000.0,
        "event_cpu_us": 250_000.0,
    }
    assert "cpu_us" not in figures(run, None)


def test_the_names_of_scenarios_are_unique() -> None:
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)
    assert all(isinstance(one, Scenario) for one in SCENARIOS)


# --- the contest


def test_a_contest_counts_what_became_of_each_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With llmrouter alone: the others are not where they are looked for, and are skipped by their names."""
    monkeypatch.setattr(gateways, "CACHE", tmp_path / "nowhere")
    some = [one for one in cases() if one.scenario.name in ("status_503", "cut_late", "flood")]
    contest = Contest(tmp_path, lambda line: None, cases=some).run()
    assert {*contest.skipped} == {"portkey", "litellm"}
    verdicts = {(one.fault, one.shape): one.verdict for one in contest.outcomes["llmrouter default"]}
    assert verdicts.pop(("cut_late", "stream")) == "safe failure"
    assert {*verdicts.values()} == {"pass"}
    assert {one.verdict for one in contest.outcomes["llmrouter resilient"]} == {"pass"}
    table = [*contest.lines()]
    assert table[2].split() == ["llmrouter", "default", "5", "0", "1", "0"]
    assert "skipped: litellm: not installed: run with --install" in table
    assert json.loads(json.dumps(contest.as_json()))["skipped"]


def test_a_contest_tells_who_never_asked_the_faulty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And who is not ready: a gateway that asks nobody."""

    def silent(duo: contestants.Duo, folder: Path) -> list[Peer]:
        return [Peer(name="mute", command=("false",), target=lambda route: Target(1, "/"))]

    monkeypatch.setattr("benchmarks.contest.contestants", silent)
    contest = Contest(tmp_path, lambda line: None, cases=[]).run()
    assert contest.skipped["mute"].startswith("no good answer")


def test_the_cases_of_a_contest_need_one_upstream_only() -> None:
    assert all(one.scenario.arrange is None for one in cases())
    assert len({one.number for one in cases()}) == len([*cases()]) > 100
    assert len({one.scenario.name for one in cases()}) >= 30


def test_names_that_can_be_asked_for(tmp_path: Path) -> None:
    peers = all_peers(Upstreams(1, 2), tmp_path)
    assert chosen("", peers) == (peers, [*SCENARIOS], True)
    assert chosen("chaos", peers) == (peers, [], True)
    assert chosen("chat-1", peers) == (peers, [SCENARIOS[0]], False)
    assert chosen("chat-1,chaos,direct", peers) == (peers[:1], [SCENARIOS[0]], True)
    with pytest.raises(SystemExit, match="nothing is called chat-2"):
        chosen("chat-2", peers)
