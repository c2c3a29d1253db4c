"""The fake context is a real one in all that a plugin may ask of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from llmrouter.errors import PluginError
from llmrouter.protocols import BuildContext
from llmrouter.testing import run
from llmrouter.testing.context import START, FakeContext, loop_clock


def test_it_is_a_build_context() -> None:
    context: BuildContext = FakeContext("one")
    assert context.name == "one"
    assert context.control.status() == {}
    assert asyncio.run(context.control.records(5)) == []
    assert context.logger.name == "llmrouter.testing"


def test_its_clock_is_the_loops_time() -> None:
    async def main() -> float:
        await asyncio.sleep(90)
        return FakeContext("one").clock()

    assert run(main()) == pytest.approx(START + 90)
    assert loop_clock() == START


def test_two_contexts_draw_the_same_numbers() -> None:
    assert FakeContext("one").random.random() == FakeContext("two").random.random()


def test_each_has_a_folder_of_its_own(tmp_path: Path) -> None:
    context = FakeContext("one")
    folder = context.state_dir
    assert folder.is_dir()
    assert context.state_dir == folder
    assert FakeContext("two", state_dir=tmp_path).state_dir == tmp_path
    folder.rmdir()


def test_a_transport_that_was_not_given_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="no transport"):
        asyncio.run(FakeContext("one").transport.handle_async_request("a request"))


def test_a_plugin_inside_a_plugin_is_built_by_what_the_test_gave() -> None:
    context = FakeContext("one", builders={("policy", "order"): lambda settings: settings["key"]})
    assert context.build("policy", {"plugin": "order", "key": 7}) == 7
    with pytest.raises(PluginError, match="no cache plugin 'order'"):
        context.build("cache", {"plugin": "order"})
