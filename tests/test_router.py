"""The whole router from settings, in one process, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import frozen
from msgspec.structs import replace

from llmrouter import (
    AppType,
    MetricsSinkType,
    PolicyType,
    ProviderType,
    RepairType,
    TokenCounterType,
    builtin,
    hookimpl,
)
from llmrouter.config import load
from llmrouter.dialects.common import parse
from llmrouter.errors import PluginError
from llmrouter.plugins import Plugins
from llmrouter.protocols import BuildContext
from llmrouter.router import Router, steady_clock
from llmrouter.routing import Order
from llmrouter.settings import ProviderSettings
from llmrouter.state import state_dir
from llmrouter.testing import run
from llmrouter.types import Account, Card, Endpoint, Failure, Request, RequestRecord, ToolCall
from tests.house import Answer, Socket, Upstream, plain

ANYTHING = {"type": "object", "additionalProperties": True}


@frozen
class Nothing:
    pass


class Sink:
    """A sink with a page, which remembers what it was told."""

    path = "/sink"

    def __init__(self) -> None:
        self.seen: list[RequestRecord] = []
        self.closed = False

    def record(self, record: RequestRecord) -> None:
        self.seen.append(record)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError


class Counter:
    def count(self, text: str, model: str) -> int | None:
        return 7


class Repair:
    def json(self, text: str) -> str | None:
        return None

    def calls(self, text: str, tools: Sequence[str]) -> Sequence[ToolCall] | None:
        return None


class Kit:
    """A plugin of every kind, whose parts the test can look at."""

    def __init__(self) -> None:
        self.upstream = Upstream([Answer(plain("hello"))])
        self.sink = Sink()
        self.inner: Any = None
        self.fails = False

    def _provider(self, config: Any, context: BuildContext) -> Any:
        if self.fails:
            raise RuntimeError("no such luck")
        self.inner = context.build("policy", {"plugin": "order"})
        return self.upstream

    @asynccontextmanager
    async def _sink(self, config: Any, context: BuildContext) -> AsyncIterator[Sink]:
        yield self.sink
        self.sink.closed = True

    @hookimpl
    def llmrouter_register_providers(self) -> Iterable[ProviderType]:
        def endpoints(config: Any) -> list[Endpoint]:
            own, said = (Account(config.name, config.name),), config.models.get("m")
            card = Card(price=said.price if said else None)
            return [Endpoint(provider=config.name, model="m", dialects=("openai.chat",), accounts=own, card=card)]

        return [
            ProviderType(
                name="kit", config=ProviderSettings, schema=ANYTHING, build=self._provider, endpoints=endpoints
            )
        ]

    @hookimpl
    def llmrouter_register_policies(self) -> Iterable[PolicyType]:
        return [
            PolicyType(name="learning", config=Nothing, schema=ANYTHING, build=lambda config, context: Policy(self))
        ]

    @hookimpl
    def llmrouter_register_metrics_sinks(self) -> Iterable[MetricsSinkType]:
        return [MetricsSinkType(name="kit", config=Nothing, schema=ANYTHING, build=self._sink)]

    @hookimpl
    def llmrouter_register_apps(self) -> Iterable[AppType]:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise NotImplementedError

        return [
            AppType(name="kit", path="/kit", config=Nothing, schema=ANYTHING, build=lambda config, context: app)
        ]

    @hookimpl
    def llmrouter_register_token_counters(self) -> Iterable[TokenCounterType]:
        return [
            TokenCounterType(name="kit", config=Nothing, schema=ANYTHING, build=lambda config, context: Counter())
        ]

    @hookimpl
    def llmrouter_register_repairs(self) -> Iterable[RepairType]:
        return [RepairType(name="kit", config=Nothing, schema=ANYTHING, build=lambda config, context: Repair())]


class Policy:
    """The configured order, and a memory of how requests ended."""

    def __init__(self, kit: Kit) -> None:
        self._order, self._kit = Order(lambda candidate: 0.0), kit

    def rank(self, facts: Any, candidates: Any, draw: float) -> Any:
        return self._order.rank(facts, candidates, draw)

    def observe(self, record: RequestRecord) -> None:
        self._kit.sink.seen.append(record)


CONFIG = """
providers:
  one: {plugin: kit}
  off: {plugin: kit, enabled: false}
groups:
  fast: {members: [one/m], policy: {plugin: order}}
routing: {default: fast, policy: {plugin: learning}}
cache: {plugin: memory}
metrics: [{plugin: kit}]
"""


@asynccontextmanager
async def opened(kit: Kit, folder: Path, text: str = CONFIG) -> AsyncIterator[Router]:
    file = folder / "llmrouter.yaml"
    file.write_text(text)
    plugins = Plugins()
    plugins.register(kit, "kit")
    loaded = load(file, {}, plugins=plugins, builtins=[(builtin, builtin.NAME)], require_plugins=True)
    clock = asyncio.get_running_loop().time
    async with Router.open(loaded.settings, loaded.plugins, clock=clock, seed=1, state=folder) as router:
        yield router


def asked(router: Router, model: str = "auto") -> Request:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    fields = parse(msgspec.json.encode(body))
    facts = router.world.dialects["openai.chat"].facts("chat", fields, {})
    return Request(replace(facts, id="req_1", at=router.clock(), client="dev"), fields)


def test_a_router_serves_records_and_tells(tmp_path: Path) -> None:
    kit = Kit()

    async def main() -> None:
        async with opened(kit, tmp_path) as router:
            socket = Socket()
            await router.engine.serve(asked(router), router.world, socket)
            assert socket.text == "hello"
            status = router.control.status()
            assert (status["requests"], status["policy"]) == (1, "learning")
            assert [(one["endpoint"], one["served"]) for one in status["endpoints"]] == [("one/m", 1)]
            assert [one.facts.id for one in await router.control.records(5)] == ["req_1"]
        assert len(kit.sink.seen) == 2  # the sink, and the policy that learns
        assert kit.sink.closed

    run(main())


def test_what_is_switched_off_is_not_built(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(Kit(), tmp_path) as router:
            assert list(router.world.providers) == ["one"]
            assert list(router.world.endpoints) == ["one/m"]

    run(main())


def test_a_group_has_its_own_policy_and_a_client_its_own_word(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(Kit(), tmp_path) as router:
            world = router.world
            assert world.ranking_of(world.names.expand("fast")).name == "order"
            assert world.ranking_of(world.names.expand("one/m")).name == "learning"
            assert world.ranking_of(world.names.expand("fast:floor")).name == "cost"

    run(main())


def test_plugins_are_built_inside_plugins_and_pages_are_mounted(tmp_path: Path) -> None:
    kit = Kit()

    async def main() -> None:
        async with opened(kit, tmp_path) as router:
            assert isinstance(kit.inner, Order)
            assert [path for path, _ in router.pages] == ["/kit", "/sink"]
            assert router.world.counter is not None
            assert isinstance(router.world.repair, Repair)

    run(main())


def test_a_plugin_that_cannot_be_built_is_named(tmp_path: Path) -> None:
    kit = Kit()
    kit.fails = True

    async def main() -> None:
        async with opened(kit, tmp_path):
            raise AssertionError("it opened")

    with pytest.raises(PluginError, match=r"one: the plugin 'kit' could not be built: .*no such luck"):
        run(main())


def test_a_router_is_ready_while_something_may_be_called(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(Kit(), tmp_path) as router:
            ready, told = router.ready()
            assert ready
            assert told["quota"] == {"store": "memory", "state": "ok", "fail": "open"}
            one = router.world.endpoints["one/m"]
            for _ in range(5):
                router.engine.health.begin(one, one.accounts[0]).end(
                    Failure(kind="server_error", scope="endpoint"), None
                )
            ready, told = router.ready()
            assert not ready
            assert told["reasons"] == ["every endpoint is held"]

    run(main())


def test_two_routers_of_one_process_never_see_each_other(tmp_path: Path) -> None:
    async def main() -> None:
        first, second = tmp_path / "1", tmp_path / "2"
        first.mkdir()
        second.mkdir()
        async with opened(Kit(), first) as one, opened(Kit(), second) as two:
            await one.engine.serve(asked(one), one.world, Socket())
            assert one.control.status()["requests"] == 1
            assert two.control.status()["requests"] == 0

    run(main())


def test_the_state_directory_is_the_one_asked_for_or_the_platforms(tmp_path: Path) -> None:
    chosen = state_dir({"LLMROUTER_STATE_DIR": str(tmp_path / "a")})
    usual = state_dir({"XDG_STATE_HOME": str(tmp_path / "b")})
    assert (chosen, usual) == (tmp_path / "a", tmp_path / "b" / "llmrouter")
    assert usual.stat().st_mode & 0o777 == 0o700


def test_the_clock_goes_on_from_the_wall() -> None:
    clock = steady_clock()
    first = clock()
    assert clock() >= first > 1_700_000_000


@pytest.mark.parametrize(
    ("engine", "group", "policy"),
    [
        ("{}", "[one/m, two/m]", "order"),
        ("{profile: batch}", "[one/m, two/m]", "cost"),
        ("{}", "{members: [one/m, two/m], engine: {profile: batch}}", "cost"),
        ("{profile: batch}", "{members: [one/m, two/m], policy: {plugin: order}}", "order"),
    ],
)
def test_who_is_in_no_hurry_gets_the_cheapest_where_no_policy_says_otherwise(
    engine: str, group: str, policy: str, tmp_path: Path
) -> None:
    async def main() -> None:
        prices = {"one": 9, "two": 1}
        entries = [
            f"{name}: {{plugin: kit, models: {{m: {{price: {{input: {usd}, output: {usd}}}}}}}}}"
            for name, usd in prices.items()
        ]
        text = f"providers: {{{', '.join(entries)}}}\ngroups: {{fast: {group}}}\nengine: {engine}\n"
        async with opened(Kit(), tmp_path, text) as router:
            decision = await router.engine.preview(asked(router, "fast"), router.world)
            assert decision.policy == policy
            first = decision.plan[0].candidate.endpoint
            assert first == ("two/m" if policy == "cost" else "one/m")

    run(main())
