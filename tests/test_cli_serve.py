"""`serve`, as a process: what it says, what it refuses, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from attrs import evolve

from llmrouter.server.auth import key_hash

from .serving import CHAT, HELLO

SCRIPT = """
import sys, types
from contextlib import asynccontextmanager
from attrs import evolve, frozen
from llmrouter import settings
from tests.serving import FakeRouter

class Router(FakeRouter):
    @classmethod
    @asynccontextmanager
    async def open(cls, settings, plugins):
        yield cls(settings=settings)
        print("closed", file=sys.stderr, flush=True)

@frozen
class Loaded:
    settings: object
    plugins: object = None
    warnings: tuple = ("a warning",)

def load(path, environ, **options):
    keys = (settings.ClientKeySettings(name="dev", hash=environ["KEY"]),) if "KEY" in environ else ()
    server = settings.ServerSettings(keys=keys, drain=5.0)
    groups = {"fast": settings.GroupSettings(tiers=())}
    return Loaded(settings.Settings(source=environ.get("SOURCE", "some.yaml"), groups=groups, server=server))

sys.modules["llmrouter.router"] = types.SimpleNamespace(Router=Router)
sys.modules["llmrouter.config"] = types.SimpleNamespace(load=load)
sys.modules["llmrouter.builtin"] = types.SimpleNamespace(NAME="builtin")
import llmrouter
llmrouter.builtin = sys.modules["llmrouter.builtin"]
from llmrouter.cli import main, serve
serve.ALONE = (sys.executable, __file__)
sys.argv[0] = "llmrouter"
main()
"""
PLACE = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serve") / "serve.py"
    path.write_text(SCRIPT)
    return path


@contextmanager
def started(script: Path, *words: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "PYTHONPATH": str(PLACE), **environ}
    command = [sys.executable, str(script), "serve", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, env=env
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().rstrip()


def ended(script: Path, *words: str, **environ: str) -> tuple[int, str]:
    with started(script, *words, **environ) as process:
        _, said = process.communicate(timeout=20)
        return process.returncode, said


def ask(url: str, key: str = "") -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("POST", CHAT, HELLO, {"x-api-key": key} if key else {})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_says_where_it_listens_serves_and_closes_the_router_at_the_end(
    script: Path, number: int, code: int
) -> None:
    with started(script, "--port", "0") as process:
        assert line(process.stderr) == "warning: a warning"
        where = line(process.stderr)
        url = next(word for word in where.split() if word.startswith("http"))
        assert where.endswith("(configuration: some.yaml)")
        assert line(process.stderr).startswith("serves fast, auto, p/m")
        assert line(process.stderr).startswith(f"try: curl {url}{CHAT} -d ")
        assert ask(url) == 200
        process.send_signal(number)
        rest = process.communicate(timeout=20)
        assert rest == ("", "closed\n")
        assert process.returncode == code


def test_with_workers_it_serves_from_each_and_ends_with_them(script: Path) -> None:
    with started(script, "--port", "0", "--workers", "2", "--json", KEY=key_hash("k")) as process:
        said = json.loads(line(process.stdout))
        assert (said["workers"], said["models"], said["config"]) == (2, ["fast"], "some.yaml")
        assert [ask(said["url"], "k"), ask(said["url"])] == [200, 401]
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=20)
        assert process.returncode == 0
        assert rest.count("closed\n") in (1, 2)  # a worker that was still starting had nothing to close


def test_workers_end_when_nobody_looks_after_them_any_more(script: Path) -> None:
    with started(script, "--port", "0", "--workers", "2", "--json") as process:
        said = json.loads(line(process.stdout))
        assert ask(said["url"]) == 200
        process.kill()
        _, rest = process.communicate(timeout=20)  # ends when the workers have, who write there too
        assert rest.count("closed\n") == 2


def test_a_taken_port_is_said_to_be_taken(script: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = ended(script, "--port", str(taken.getsockname()[1]))
    assert (code, "is taken" in said, "Traceback" in said) == (1, True, False)


def test_a_place_that_is_not_here_is_said(script: Path) -> None:
    code, said = ended(script, "--host", "203.0.113.1", "--insecure")
    assert (code, "cannot listen on 203.0.113.1:4000" in said) == (1, True)


def test_nobody_opens_a_router_to_a_network_by_mistake(script: Path) -> None:
    code, said = ended(script, "--host", "0.0.0.0", "--port", "0")
    assert (code, "llmrouter keys create" in said) == (3, True)
    for words, environ in (["--insecure"], {}), ([], {"SOURCE": "demo"}), ([], {"KEY": key_hash("k")}):
        with started(script, "--host", "0.0.0.0", "--port", "0", "--json", *words, **environ) as process:
            assert json.loads(line(process.stdout))["url"].startswith("http://0.0.0.0:")


def test_the_curl_line_has_a_key_where_one_is_needed(script: Path) -> None:
    with started(script, "--port", "0", KEY=key_hash("k")) as process:
        said = [line(process.stderr) for _ in range(4)]
    assert '-H "Authorization: Bearer $LLMROUTER_KEY"' in said[-1]


def test_without_any_name_the_curl_line_lists_the_models() -> None:
    from llmrouter.cli.serve import Greeting
    from llmrouter.settings import ServerSettings, Settings

    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        greeting = Greeting(evolve(Settings(), server=ServerSettings()), listener, as_json=False)
        assert greeting._curl([]) == f"curl http://[::1]:{listener.getsockname()[1]}/v1/models"
