"""Two recorded lists of OpenRouter, months apart: through a router, its clients and its command line."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmrouter.cli import catalogue, models
from llmrouter.config import load
from llmrouter.discovery import background
from llmrouter.plugins import Plugins
from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_scripts import JSON, answer
from llmrouter.types import Endpoint
from tests.harness import Serving, serving
from tests.listing import CONFIG, NEWER, OLDER, Market, opened, recorded
from tests.serving import Site, site
from tests.test_cli_look import NOBODY, call

from .library import require

pytestmark = pytest.mark.recordings

COUNT, AUTHORS = 413, 60
"""Of the newer list, as its source says."""


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    """The plugin, as the command line and the router find it; a router looks at its lists all the time."""
    require()
    market = Market(*recorded(NEWER))

    def loaded(path: Path, environ: Mapping[str, str], **more: Any) -> Any:
        plugins = Plugins()
        plugins.register(market, "market")
        return load(path, environ, plugins=plugins, **more)

    monkeypatch.setattr("llmrouter.cli.offline.load", loaded)
    monkeypatch.setattr(background, "LOOK", 0.02)
    return market


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "llmrouter.yaml").write_text(CONFIG)
    return {"LLMROUTER_STATE_DIR": str(tmp_path), "LLMROUTER_CONFIG": str(tmp_path / "llmrouter.yaml")}


def served(market: Market, folder: Path, body: Callable[[Site], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(market, folder) as router:
            whole: Any = router
            async with site(whole) as one:
                await body(one)

    asyncio.run(main())


async def listed(one: Site, expected: Sequence[Endpoint]) -> dict[str, Any]:
    """The list of a client, once it is the expected one."""
    wanted = {f"many/{model.model}" for model in expected}
    async with asyncio.timeout(10):
        while True:
            data = (await one.get("/v1/models")).json["data"]
            found = {model["id"]: model for model in data if model["owned_by"] == "many"}
            if {*found} == wanted:
                return found
            await asyncio.sleep(0.02)


def test_every_recorded_model_is_listed_with_price_window_and_abilities(market: Market, tmp_path: Path) -> None:
    expected = recorded(NEWER)

    async def body(one: Site) -> None:
        found = await listed(one, expected)
        assert len(found) == COUNT
        assert len({id.split("/")[1] for id in found}) == AUTHORS
        for model in expected:
            said = found[f"many/{model.model}"]
            assert said["context_window"] == model.card.window
            assert said["abilities"] == sorted(model.card.abilities or ())
            price = model.card.price
            assert said.get("price", {}).get("input") == (price.input if price else None)
            assert (await one.get(f"/v1/models/many/{model.model}")).json == said

    served(market, tmp_path, body)


def test_the_command_line_lists_every_recorded_model(market: Market, state: Mapping[str, str]) -> None:
    assert call(catalogue.command, "refresh", **state).exit_code == 0
    offline = {**state, "LLMROUTER_URL": NOBODY}
    rows = json.loads(call(models.command, "--json", **offline).stdout)["models"]
    assert (len(rows), len({row["author"] for row in rows})) == (COUNT, AUTHORS)
    assert all(row["context_window"] and row["abilities"] is not None for row in rows)
    assert sum(row["price"] is not None for row in rows) > 400
    free = json.loads(call(models.command, "--free", "--tools", "--json", **offline).stdout)["models"]
    assert 0 < len(free) < 100
    assert all(row["price"]["input"] == 0 and "tools" in row["abilities"] for row in free)


def test_the_next_list_brings_the_new_and_marks_the_gone_without_a_restart(
    market: Market, tmp_path: Path, state: Mapping[str, str]
) -> None:
    older, newer = recorded(OLDER), recorded(NEWER)
    before, after = {one.model for one in older}, {one.model for one in newer}
    assert before - after, "the recordings differ in both directions"
    assert after - before
    market.say(*older)

    async def body(one: Site) -> None:
        await listed(one, older)
        market.say(*newer)
        said = await asyncio.to_thread(call, catalogue.command, "refresh", "--json", **state)
        told = json.loads(said.stdout)["providers"][0]
        assert (told["new"], told["gone"]) == (len(after - before), len(before - after))
        await listed(one, newer)
        rows = (await one.get("/admin/models")).json["models"]
        assert {row["model"] for row in rows if row["state"] == "gone"} == before - after
        assert {row["model"] for row in rows if row["state"] == "listed"} == after

    served(market, tmp_path, body)


def test_the_adapter_of_openrouter_reads_them_too() -> None:
    require()
    with Upstream(answer(200, JSON, NEWER.read_bytes())) as upstream:
        entry = {"plugin": "openrouter", "base_url": f"{upstream.base_url}/api/v1", "api_key": "k"}
        with serving(json.dumps({"providers": {"or": entry}, "catalogue": {"refresh": "1h"}})) as router:
            found = _found(router)
    assert len(found) == COUNT
    assert len({model["id"].split("/")[1] for model in found}) == AUTHORS
    assert all(model["context_window"] and model["abilities"] is not None for model in found)
    assert sum("price" in model for model in found) > 400


def _found(router: Serving) -> list[dict[str, Any]]:
    """What is listed, once it is. The wait is that of the first look, right after the start."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found = [model for model in router.get("/v1/models").json["data"] if model["owned_by"] == "or"]
        if len(found) > 1:
            return found
    raise AssertionError("no list came")
