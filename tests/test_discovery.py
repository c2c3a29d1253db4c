"""Lists of models in a running router: read in the background, kept on disk, never in the way of a request."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmrouter.catalogue.lists import Listing
from llmrouter.discovery import ListFile
from llmrouter.errors import InvalidRequest, LLMRouterError
from llmrouter.router import Router
from llmrouter.testing import run
from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_scripts import JSON, answer
from llmrouter.types import Price, RequestRecord
from tests.harness import Serving, process
from tests.house import Socket
from tests.listing import CONFIG, Market, model, opened
from tests.test_router import asked

CHEAP = Price(input=0.5, output=1.0)
PACE = 600.0  # of the configuration


@pytest.fixture(autouse=True)
def files_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time does not wait for threads: an hour would be over before the file is read."""

    async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


def offered(router: Router) -> list[str]:
    return [offer.id for offer in router.world.offers() if offer.owner != "llmrouter"]


async def until(told: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait in virtual time."""
    async with asyncio.timeout(seconds):
        while not told():
            await asyncio.sleep(0.5)


def with_router(market: Market, folder: Path, body: Callable[[Router], Awaitable[None]], **more: Any) -> None:
    async def main() -> None:
        async with opened(market, folder, **more) as router:
            await body(router)

    run(main())


async def ask(router: Router, name: str) -> RequestRecord:
    await router.engine.serve(asked(router, name), router.world, Socket())
    return (await router.control.records(1))[0]


# --- found, changed, gone


def test_what_a_provider_lists_is_offered_with_its_price(tmp_path: Path) -> None:
    market = Market(model("a/new", price=CHEAP, window=9), model("a/old"))

    async def body(router: Router) -> None:
        assert offered(router) == []
        await until(lambda: offered(router) == ["many/a/new", "many/a/old"])
        record = await ask(router, "a/new")
        assert (record.status, record.steps[0].endpoint) == (200, "many/a/new")
        assert record.cost == pytest.approx((10 * 0.5 + 5 * 1.0) / 1e6)

    with_router(market, tmp_path, body)


def test_a_second_list_brings_the_new_and_marks_the_gone_without_a_restart(tmp_path: Path) -> None:
    market = Market(model("old", price=CHEAP), model("kept"))

    async def body(router: Router) -> None:
        await until(lambda: len(offered(router)) == 2)
        world = router.world
        market.say(model("kept"), model("new", price=CHEAP))
        await until(lambda: offered(router) == ["many/kept", "many/new"], 2 * PACE)
        assert world is not router.world
        assert "many/new" not in world.names.discovered, "a request keeps the world it began with"
        states = {one.model: one.state for one in router.control.models().models}
        assert states == {"kept": "listed", "new": "listed", "old": "gone"}
        with pytest.raises(InvalidRequest):
            router.world.names.expand("old")
        assert (await ask(router, "many/old")).cost, "who names it is served, at its last price"

    with_router(market, tmp_path, body)


def test_a_list_is_read_at_the_pace_of_the_configuration(tmp_path: Path) -> None:
    market = Market(model("a"))

    async def body(router: Router) -> None:
        await asyncio.sleep(10 * PACE)
        assert 9 <= len(market.lister.asked) <= 12

    with_router(market, tmp_path, body)


def test_without_a_pace_nobody_is_asked(tmp_path: Path) -> None:
    market = Market(model("a"))

    async def body(router: Router) -> None:
        await asyncio.sleep(24 * PACE)
        assert market.lister.asked == []

    with_router(market, tmp_path, body, text=CONFIG.replace("10m", "null"))


def test_no_request_waits_for_a_list(tmp_path: Path) -> None:
    market = Market(model("a"), wait=30.0)

    async def body(router: Router) -> None:
        await until(lambda: bool(market.lister.asked))
        began = router.clock()
        assert (await ask(router, "many/a")).status == 200
        assert router.clock() - began < 1

    with_router(market, tmp_path, body)


# --- the last copy


def test_the_last_copy_serves_from_the_first_moment_and_without_its_provider(tmp_path: Path) -> None:
    market = Market(model("a", price=CHEAP))

    async def first(router: Router) -> None:
        await until(lambda: bool(offered(router)))

    async def second(router: Router) -> None:
        assert offered(router) == ["many/a"]
        assert router.world.names.expand("a").tiers[0][0].endpoint.card.price == CHEAP

    with_router(market, tmp_path, first)
    market.lister.lists = {"": LLMRouterError("offline")}
    with_router(market, tmp_path, second)


def test_a_copy_that_is_young_is_not_asked_for_again(tmp_path: Path) -> None:
    market = Market(model("a"))

    async def main() -> None:
        for _ in range(3):
            async with opened(market, tmp_path) as router:
                await until(lambda: bool(offered(router)))
                await asyncio.sleep(60)

    run(main())
    assert len(market.lister.asked) == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 2, "providers": {}}', b"\xff\xfe", b'{"providers": 3}']
)
def test_a_copy_that_cannot_be_read_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "models.json").write_bytes(content)

    async def body(router: Router) -> None:
        await until(lambda: offered(router) == ["many/a"])

    with_router(Market(model("a")), tmp_path, body)
    assert ListFile(tmp_path).read()["many"].current


def test_the_lists_of_other_configurations_stay_in_the_file(tmp_path: Path) -> None:
    ListFile(tmp_path).write({"other": Listing(of="x", at=5.0)})

    async def body(router: Router) -> None:
        await until(lambda: bool(offered(router)))

    with_router(Market(model("a")), tmp_path, body)
    assert ListFile(tmp_path).read()["other"].at == 5.0


def test_a_full_disk_takes_nothing_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    market = Market(model("a"))

    def full(self: ListFile, listings: object) -> None:
        raise OSError(28, "No space left on device")

    async def body(router: Router) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ListFile, "write", full)
            await asyncio.sleep(PACE)
        assert (await ask(router, "many/a")).status == 200
        await until(lambda: bool(offered(router)), PACE)

    with caplog.at_level(logging.ERROR):
        with_router(market, tmp_path, body)
    assert 1 < caplog.text.count("could not be kept") < 30


def test_a_half_written_file_is_never_seen(tmp_path: Path) -> None:
    file = ListFile(tmp_path)
    file.write({"p": Listing(of="x", at=1.0)})
    with pytest.raises(TypeError):
        file.write({"p": object()})  # type: ignore[dict-item]
    assert file.read()["p"].at == 1.0
    assert [one.name for one in tmp_path.iterdir()] == ["models.json"]


# --- several workers


def test_one_of_several_workers_asks_and_the_others_see_it(tmp_path: Path) -> None:
    market = Market(model("a"), wait=3.0)

    async def main() -> None:
        async with (
            opened(market, tmp_path) as one,
            opened(market, tmp_path) as two,
            opened(market, tmp_path) as three,
        ):
            await until(lambda: all(offered(router) == ["many/a"] for router in (one, two, three)))
            assert len(market.lister.asked) == 1
            market.say(model("b"))
            await until(lambda: all(offered(router) == ["many/b"] for router in (one, two, three)), 2 * PACE)
            assert len(market.lister.asked) == 2

    run(main())


def test_of_two_processes_one_asks() -> None:
    with Upstream(answer(200, JSON, {"data": [{"id": "a"}]})) as upstream:
        entry = {"plugin": "openai", "profile": "custom", "base_url": f"{upstream.base_url}/v1", "api_key": "k"}
        setup = json.dumps({"providers": {"up": entry}, "catalogue": {"refresh": "1h"}})
        with process(setup, "--workers", "2") as router:
            told = Counter(_has(router, "up/a") for _ in range(20))
            end = time.monotonic() + 15
            while told[False] and time.monotonic() < end:
                told = Counter(_has(router, "up/a") for _ in range(20))
    assert told == {True: 20}, "whichever worker answers"
    assert [request.path for request in upstream.requests] == ["/v1/models"]


def _has(router: Serving, id: str) -> bool:
    listed = router.get("/v1/models").json["data"]
    router.close()  # the next connection may come to another worker
    return any(model["id"] == id for model in listed)


def test_what_the_command_line_has_found_is_taken_in(tmp_path: Path) -> None:
    market = Market(model("a"))

    async def body(router: Router) -> None:
        await until(lambda: bool(offered(router)))
        file = ListFile(tmp_path)
        before = file.read()["many"]
        more = msgspec.structs.replace(before.models[0], model="b")
        file.write({"many": msgspec.structs.replace(before, models=(*before.models, more))})
        await until(lambda: offered(router) == ["many/a", "many/b"], 10)

    with_router(market, tmp_path, body)


# --- lists that are none


@pytest.mark.parametrize(
    "said",
    [
        LLMRouterError("401: no"),
        RuntimeError("a slip of the plugin"),
        [],
        None,
        ["text"],
        [model("b"), 7],
        42,
    ],
)
def test_a_broken_list_changes_nothing(tmp_path: Path, said: Any, caplog: pytest.LogCaptureFixture) -> None:
    market = Market(model("a"))

    async def body(router: Router) -> None:
        await until(lambda: bool(offered(router)))
        market.lister.lists = {"": said}
        await asyncio.sleep(5 * PACE)
        assert offered(router) == ["many/a"]
        assert (await ask(router, "a")).status == 200
        assert router.control.models().providers[0].problem

    with_router(market, tmp_path, body)
    assert caplog.text.count("could not be listed") == 1, "a failure is told once"


def test_a_provider_that_never_answers_holds_up_nobody(tmp_path: Path) -> None:
    market = Market(model("a"), wait=1e9)

    async def body(router: Router) -> None:
        await asyncio.sleep(61)
        assert "no list within 60 s" in router.control.models().providers[0].problem

    with_router(market, tmp_path, body)


def test_an_account_that_may_not_see_the_list_is_passed_over(tmp_path: Path) -> None:
    market = Market()
    market.lister.lists = {"one": LLMRouterError("403"), "two": [model("a")]}
    accounts = "accounts: [{id: off, api_key: a, enabled: false}, {id: one, api_key: b}, {id: two, api_key: c}]"

    async def body(router: Router) -> None:
        await until(lambda: offered(router) == ["many/a"])
        assert market.lister.asked == ["one", "two"]

    with_router(market, tmp_path, body, text=CONFIG.replace("api_key: k", accounts))


def test_the_states_of_models_tell_where_they_are_known_from(tmp_path: Path) -> None:
    market = Market(model("both"), model("listed"))
    text = CONFIG.replace("api_key: k", "api_key: k, models: {both: {}, typo: {}}")

    async def body(router: Router) -> None:
        assert [one.state for one in router.control.models().models] == ["configured", "configured"]
        await until(lambda: len(offered(router)) == 3)
        states = {one.model: one.state for one in router.control.models().models}
        assert states == {"both": "listed", "listed": "listed", "typo": "unlisted"}

    with_router(market, tmp_path, body, text=text)
