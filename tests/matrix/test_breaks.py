"""Nothing that an upstream does in the middle of a stream is misread by an official SDK.

Each of them, in front of every upstream wire, whose answer breaks off after something of it was heard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llmrouter.testing.speaker import TEXT
from llmrouter.testing.upstream import Upstream
from llmrouter.testing.upstream_scripts import chosen
from tests.clients.upstreams import RESPONSES, UPSTREAMS
from tests.harness import Serving, serving

from .breaking import ARGUMENTS, BREAKS, SLOW, THOUGHT, TOKENS, breaking
from .drivers import DRIVERS, Asking, opened
from .listening import LISTENERS, GeminiListener, Heard, Listener

WIRES = tuple(UPSTREAMS)
PAIRS = [(first, second) for first in WIRES for second in WIRES]
BEGUN = "Sixteen small words"
HOW = pytest.mark.parametrize("how", BREAKS)


def _providers(base: str, folder: Path) -> dict[str, Any]:
    return {
        f"{place}-{name}": {
            **{key: value.format(f"{base}/{place}", folder=folder) for key, value in entry.items()},
            "api_key": "k",
            "models": {"m": {}},
        }
        for place in ("first", "second")
        for name, entry in UPSTREAMS.items()
    }


STREAMS: Mapping[str, Mapping[str, str]] = {
    "error": {},
    "verify": {"on_break": "verify"},
    "buffer": {"on_break": "buffer"},
    "skip": {"on_malformed": "skip"},
    "alive": {"keep_alive": "50ms"},
}
"""What the configuration says of streams, by the first part of a group's name; wires are the other two."""


def _groups() -> dict[str, Any]:
    return {
        f"{name}-{first}-{second}": {
            "members": [f"first-{first}/m", f"second-{second}/m"],
            "engine": {"stream": settings, "timeouts": {"idle": "500ms"}},
        }
        for name, settings in STREAMS.items()
        for first, second in PAIRS
    } | {
        f"alive-{wire}-alone": {"members": [f"first-{wire}/m"], "engine": {"stream": STREAMS["alive"]}}
        for wire in WIRES
    }


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("profiles")
    Path(folder, "responses.yaml").write_text(RESPONSES)
    with Upstream(chosen(breaking)) as upstream:
        config = {
            "providers": _providers(upstream.base_url, folder),
            "groups": _groups(),
            "breaker": None,
            "logging": {"level": "error"},
        }
        with serving(json.dumps(config)) as served:
            yield served


@pytest.fixture(scope="module")
def listeners(router: Serving) -> Iterator[dict[str, Listener]]:
    with opened(LISTENERS, router.base_url) as made:
        yield made


@pytest.fixture(params=LISTENERS)
def client(request: pytest.FixtureRequest, listeners: dict[str, Listener]) -> Listener:
    return listeners[request.param]


Hear = Callable[..., dict[tuple[str, str], Heard]]


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def hear(client: Listener, pool: ThreadPoolExecutor) -> Hear:
    """What is heard through these pairs of upstreams, at once: most of the time goes by in silence."""

    def hear(on_break: str, text: str, pairs: Sequence[tuple[str, str]] = ()) -> dict[tuple[str, str], Heard]:
        pairs = pairs or [(wire, wire) for wire in WIRES]
        models = [f"{on_break}-{first}-{second}" for first, second in pairs]
        return dict(zip(pairs, pool.map(lambda model: client.listen(model, text), models), strict=True))

    return hear


# --- error


@HOW
def test_an_answer_that_breaks_off_is_the_sdks_own_exception(hear: Hear, how: str) -> None:
    for pair, heard in hear("error", how).items():
        assert heard.error, pair
        assert heard.text == BEGUN, pair


@pytest.mark.parametrize("on_break", ["error", "verify"])
@pytest.mark.parametrize("how", ["eof", "cut", "told"])
def test_a_call_that_is_cut_is_no_call(client: Listener, hear: Hear, on_break: str, how: str) -> None:
    """Google's clients are told calls whole: of another's, they have heard nothing yet, and hear the second's."""
    for (first, _), heard in hear(on_break, f"call {how}").items():
        [(name, arguments)] = heard.calls
        assert name == "weather"
        if isinstance(client, GeminiListener) and first != "gemini":
            assert heard.error is None
            assert (json.loads(arguments), heard.output_tokens) == (json.loads(ARGUMENTS), TOKENS[1]), first
        else:
            assert heard.error, first
            assert ARGUMENTS.replace(" ", "").startswith(arguments.replace(" ", "")), first


# --- verify


def assert_whole(heard: Heard, pair: tuple[str, str]) -> None:
    assert heard.error is None, pair
    assert (heard.text, heard.output_tokens) == (TEXT, TOKENS[1]), pair


@HOW
def test_another_that_says_the_same_goes_on(hear: Hear, how: str) -> None:
    for pair, heard in hear("verify", how).items():
        assert_whole(heard, pair)
        assert not heard.calls


def test_another_goes_on_in_another_dialect(hear: Hear) -> None:
    for pair, heard in hear("verify", "eof", PAIRS).items():
        assert_whole(heard, pair)


def test_another_that_says_otherwise_does_not_go_on(hear: Hear) -> None:
    for pair, heard in hear("verify", "eof otherwise", PAIRS).items():
        assert heard.error, pair
        assert heard.text == BEGUN, pair


def test_thoughts_are_heard_once(hear: Hear) -> None:
    for pair, heard in hear("verify", "thoughtful eof", PAIRS).items():
        assert_whole(heard, pair)
        assert heard.thought == THOUGHT, pair


def test_a_call_before_the_text_is_heard_once(hear: Hear) -> None:
    for pair, heard in hear("verify", "mixed eof", PAIRS).items():
        assert_whole(heard, pair)
        assert [(name, json.loads(arguments)) for name, arguments in heard.calls] == [
            ("weather", json.loads(ARGUMENTS))
        ], pair


# --- buffer


@HOW
def test_what_is_held_back_is_heard_whole(hear: Hear, how: str) -> None:
    for pair, heard in hear("buffer", how).items():
        assert_whole(heard, pair)


def test_what_is_held_back_is_heard_when_all_of_it_has_come(hear: Hear) -> None:
    for pair, heard in hear("buffer", "slow").items():
        assert heard.text == TEXT, pair
        assert heard.waited > 2 * SLOW, pair


# --- an event left out, and silence


def test_what_cannot_be_read_is_left_out(hear: Hear) -> None:
    for pair, heard in hear("skip", "malformed").items():
        assert heard.error is None, pair
        assert (heard.text, heard.output_tokens) == (TEXT, TOKENS[0]), pair


def test_what_is_written_in_a_silence_is_passed_over(hear: Hear) -> None:
    for pair, heard in hear("alive", "slow").items():
        assert heard.error is None, pair
        assert (heard.text, heard.output_tokens) == (TEXT, TOKENS[0]), pair


def test_a_failure_after_a_silence_is_the_sdks_own_exception(hear: Hear) -> None:
    for (wire, _), heard in hear("alive", "slow mute", [(wire, "alone") for wire in WIRES]).items():
        assert heard.error, wire
        assert heard.text == "", wire
        assert getattr(heard.error, "status_code", 200) == 200, "it was in time to be a refusal"


# --- the plain shape


@pytest.mark.parametrize("name", DRIVERS)
@HOW
def test_a_plain_answer_that_breaks_off_is_another_s(
    router: Serving, pool: ThreadPoolExecutor, name: str, how: str
) -> None:
    driver = DRIVERS[name](router.base_url)
    asking = Asking(text=how, stream=False)
    models = [f"error-{wire}-{wire}" for wire in WIRES]
    for model, said in zip(models, pool.map(lambda model: driver.ask(model, asking), models), strict=True):
        assert (said.text, said.finish) == (TEXT, driver.stops[0]), model
    driver.close()
