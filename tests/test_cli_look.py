"""`status` and `log`: of a running router, or from what the last one left."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from llmrouter.cli import log, render, status
from llmrouter.engine.journal import Journal
from llmrouter.types import RequestRecord

from .serving import FULL, record


def endpoint(id: str, state: str, **more: Any) -> dict[str, Any]:
    usual = {"until": None, "first_output": None, "served": 0, "failed": 0, "tokens": 0, "cost": 0.0}
    return {"endpoint": id, "state": state, **usual, **more}


STATUS = {
    "revision": "r1", "source": "llmrouter.yaml", "uptime": 11_520.0, "under_way": 2, "requests": 200,
    "outcomes": {"complete": 197, "refused": 3}, "cache": {}, "cost": 1.84, "unpriced": 1,
    "endpoints": [
        endpoint("a/x", "ok", first_output=0.419, served=150, failed=1, tokens=14_000_000),
        endpoint("b/y", "cooling", until=1036.0, served=50, failed=9, tokens=12_400, cost=1.84),
        endpoint("c/z", "auth", failed=2),
    ],
}  # fmt: skip

Answers = dict[str, tuple[int, bytes]]


@contextmanager
def answering(answers: Answers) -> Iterator[tuple[str, list[Mapping[str, str]]]]:
    """A server that knows a few paths; what it was asked with is kept."""
    asked: list[Mapping[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            code, body = answers.get(self.path.partition("?")[0], (404, b"{}"))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def requests(*records: RequestRecord) -> Answers:
    return {"/admin/requests": (200, msgspec.json.encode({"requests": records}))}


def call(command: Any, *words: str, **environ: str) -> Result:
    return CliRunner().invoke(command, list(words), env=environ)


@pytest.fixture
def state(tmp_path: Path) -> str:
    """A state directory with one request in it."""
    journal = Journal(tmp_path / "state.db")
    journal.record(FULL)
    journal._open()
    journal._read(1)
    assert journal._database is not None
    journal._database.close()
    return str(tmp_path)


NOBODY = "http://127.0.0.1:9"


def test_status_says_what_serves_what_is_held_and_what_it_costs() -> None:
    assert status.lines(STATUS, now=1000.0) == [
        "llmrouter.yaml, up 3 h 12",
        "200 requests, 98 % answered, 2 under way, spent $1.84, 1 without a price",
        "",
        "   endpoint  share  state            first token  served  failed  tokens   cost",
        "●  a/x        75 %  ok                    419 ms     150       1   14.0M   free",
        "◷  b/y        25 %  cooling, 36.0 s            –      50       9     12k  $1.84",
        "▲  c/z              auth                       –       0       2       0      –",
    ]


def test_status_asks_the_running_router_with_the_admin_key() -> None:
    with answering({"/admin/status": (200, json.dumps(STATUS).encode())}) as (url, asked):
        shown = call(status.command, "--url", url, LLMROUTER_ADMIN_KEY="secret")
        as_json = call(status.command, "--url", url + "/", "--json")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "a/x" in shown.stdout
    assert json.loads(as_json.stdout) == STATUS
    assert asked[0]["authorization"] == "Bearer secret"


def test_status_falls_back_on_what_was_saved(state: str) -> None:
    shown = call(status.command, "--url", NOBODY, LLMROUTER_STATE_DIR=state)
    assert shown.exit_code == 0
    assert "from saved state" in shown.stderr
    assert "q/m" in shown.stdout
    assert "500 ms" in shown.stdout
    said = json.loads(call(status.command, "--url", NOBODY, "--json", LLMROUTER_STATE_DIR=state).stdout)
    assert {one["endpoint"]: (one["served"], one["failed"]) for one in said["endpoints"]} == {
        "p/m": (0, 1),
        "q/m": (1, 0),
    }


def test_no_router_and_no_state_is_a_failure_of_its_own(tmp_path: Path, state: str) -> None:
    for command in (status.command, log.command):
        shown = call(command, "--url", NOBODY, LLMROUTER_STATE_DIR=str(tmp_path / "none"))
        assert (shown.exit_code, shown.stdout) == (4, "")
        assert "llmrouter serve" in shown.stderr
        elsewhere = call(command, "--url", "http://router.invalid:1", LLMROUTER_STATE_DIR=state)
        assert elsewhere.exit_code == 4
        assert call(command, "--url", "https://127.0.0.1:9/", LLMROUTER_STATE_DIR=state).exit_code == 0


@pytest.mark.parametrize(
    ("answer", "code"),
    [((401, b""), 5), ((403, b""), 5), ((404, b""), 6), ((500, b""), 1), ((200, b"<p>"), 4)],
)
def test_a_router_that_does_not_answer_is_told_apart(answer: tuple[int, bytes], code: int) -> None:
    with answering({"/admin/status": answer, "/admin/requests": answer}) as (url, _):
        for command in (status.command, log.command):
            shown = call(command, "--url", url)
            assert (shown.exit_code, shown.stdout) == (code, "")
            assert shown.stderr.count("\n") == 1


def test_log_is_one_line_for_each_request_the_newest_last() -> None:
    with answering(requests(FULL, record("req_0", status=429, outcome="refused", ended=1000.5))) as (url, _):
        shown = call(log.command, "--url", url)
    first, second = shown.stdout.splitlines()
    assert "refused 429" in first
    for word in ("fast", "○●", "q/m", "cost", "1 + 0", "1.2 s", "2.8 s", "?"):
        assert word in second, word


def test_log_names_who_served_behind_the_provider() -> None:
    served = msgspec.structs.replace(FULL.steps[-1], via="Acme\x1b AI")
    with answering(requests(msgspec.structs.replace(FULL, steps=(*FULL.steps[:-1], served)))) as (url, _):
        assert r"q/m (Acme\x1b AI)" in call(log.command, "--url", url).stdout


def test_log_as_json_is_what_the_admin_api_says(state: str) -> None:
    with answering(requests(FULL)) as (url, _):
        running = call(log.command, "--url", url, "--json").stdout
    saved = call(log.command, "--url", NOBODY, "--json", LLMROUTER_STATE_DIR=state).stdout
    assert msgspec.json.decode(running, type=dict[str, list[RequestRecord]]) == {"requests": [FULL]}
    assert running == saved


def test_a_router_is_found_without_a_scheme_and_by_the_environment() -> None:
    with answering(requests(FULL)) as (url, _):
        bare = call(log.command, "--url", url.removeprefix("http://"))
        known = call(log.command, LLMROUTER_URL=url)
        said = call(log.command, "--url", url, LLMROUTER_URL=NOBODY)
    assert bare.stdout == known.stdout == said.stdout != ""


def test_what_a_client_sent_cannot_write_to_the_terminal() -> None:
    asked = "a\r\n\x1b[2Jé\u202e" + "x" * 500
    odd = msgspec.structs.replace(FULL, facts=msgspec.structs.replace(FULL.facts, asked=asked))
    with answering(requests(odd)) as (url, _):
        shown = call(log.command, "--url", url).stdout
    assert shown.count("\n") == 1
    assert shown[:-1].isprintable()
    assert r"  a\r\n\x1b[2Jé\u202e" + "x" * 20 + "…  " in shown


def test_log_follows_until_the_router_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = requests(record("req_1"))
    looks = iter([requests(record("req_2"), record("req_1")), requests(record("req_2"), record("req_1")), {}])

    with answering(answers) as (url, _):

        def wait(seconds: float) -> None:
            answers.clear()
            answers.update(next(looks))

        monkeypatch.setattr("llmrouter.cli.log.time.sleep", wait)
        shown = call(log.command, "--url", url, "--follow", "--json")
    assert shown.exit_code == 6
    assert [json.loads(line)["facts"]["id"] for line in shown.stdout.splitlines()] == ["req_1", "req_2"]


def test_log_of_nothing_is_nothing() -> None:
    with answering(requests()) as (url, _):
        assert call(log.command, "--url", url).stdout == ""
        assert call(log.command, "--url", url, "--follow", "--limit", "0").exit_code == 2


def test_a_router_that_goes_away_while_followed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = iter([b'{"requests": []}', None])
    monkeypatch.setattr(log, "ask", lambda url, path: next(bodies))
    monkeypatch.setattr("llmrouter.cli.log.time.sleep", lambda seconds: None)
    shown = call(log.command, "--follow")
    assert (shown.exit_code, "went away" in shown.stderr) == (4, True)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (render.usd(0.0), "free"),
        (render.usd(None), "?"),
        (render.usd(0.00314), "$0.0031"),
        (render.usd(0.0000014), "$0.0000014"),
        (render.usd(0.00099999), "$0.001"),
        (render.usd(0.000123), "$0.00012"),
        (render.usd(1234.5), "$1,234.50"),
        (render.seconds(None), "–"),
        (render.seconds(0.0123), "12 ms"),
        (render.seconds(61), "61.0 s"),
        (render.seconds(600), "10 min"),
        (render.seconds(7384), "2 h 03"),
        (render.count(9999), "9,999"),
        (render.count(12_400), "12k"),
        (render.count(14_000_000), "14.0M"),
        (render.percent(1, 0), "–"),
        (render.percent(1, 3), "33 %"),
    ],
)
def test_figures_are_short_and_clear(shown: str, text: str) -> None:
    assert shown == text


def test_rows_are_aligned() -> None:
    assert render.table([["a", "b"], ["ccc", "10"]], frozenset({1})) == ["a     b", "ccc  10"]


def test_a_cell_is_one_line_of_some_width() -> None:
    assert render.table([["a\nb", "c"]]) == [r"a\nb  c"]
    assert len(render.table([["x" * 81]])[0]) == 80
    assert render.table([["x" * 80]]) == ["x" * 80]
