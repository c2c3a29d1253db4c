"""The catalogue of faults behind upstreams that speak other dialects: asked in OpenAI's, told in OpenAI's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from llmrouter.testing.speaker import TEXT, Speaker
from llmrouter.testing.upstream import Received, Script, Upstream
from llmrouter.testing.upstream_anthropic import Messages
from llmrouter.testing.upstream_faults import faults
from llmrouter.testing.upstream_gemini import Generate
from llmrouter.testing.upstream_ollama import NativeChat
from llmrouter.testing.upstream_refusals import Fault
from llmrouter.testing.upstream_scripts import chosen
from tests.calling import Answer, at_once
from tests.faults.setups import PATIENCE
from tests.harness import Serving, serving

SPEAKERS: Mapping[str, tuple[Speaker, Mapping[str, Any]]] = {
    "anthropic": (Messages(), {"plugin": "anthropic", "profile": "custom"}),
    "gemini": (Generate(), {"plugin": "gemini"}),
    "ollama": (NativeChat(), {"plugin": "ollama"}),
}
HEAVY = ("flood", "giant_event")
"""Left to the catalogue in OpenAI's own dialect: they try the reader that all share."""
Case = tuple[str, str]


class Run:
    """Every fault in every shape, with a healthy peer of the same kind and alone."""

    def __init__(self, speaker: Speaker, entry: Mapping[str, Any]) -> None:
        self.speaker, self.entry = speaker, entry
        self.faults = {one.name: one for one in faults(speaker) if one.name not in HEAVY}
        self.cases: Sequence[Case] = [(name, shape) for name, one in self.faults.items() for shape in one.shapes]

    def answers(self) -> Mapping[tuple[str, str, bool], Answer]:
        wanted = [(*case, alone) for case in self.cases for alone in (False, True)]
        with Upstream(chosen(self._by_path)) as upstream, serving(self._config(upstream.base_url)) as router:
            found = at_once(len(wanted), lambda number: _ask(router, *wanted[number]), 32)
        return dict(zip(wanted, found, strict=True))

    def _by_path(self, request: Received) -> Script:
        name = request.path.split("/")[1]
        return self.speaker.answer() if name == "good" else self.faults[name.replace("-", "_")].script

    def _config(self, address: str) -> str:
        providers, groups = {}, {}
        for name, shape in self.cases:
            for alone in (False, True):
                key = _key(name, shape, alone)
                for entry, path in ((key, name.replace("_", "-")), (f"good-{key}", "good")):
                    own = {"base_url": f"{address}/{path}", "api_key": "k", "models": {"m": {}}}
                    providers[entry] = {**self.entry, **own}
                groups[f"g-{key}"] = [[f"{key}/m"]] if alone else [[f"{key}/m"], [f"good-{key}/m"]]
        return json.dumps(
            {
                "providers": providers,
                "groups": groups,
                "breaker": None,
                "engine": {"timeouts": PATIENCE, "deadline": "8s"},
                "logging": {"level": "error"},
            }
        )


def _key(name: str, shape: str, alone: bool) -> str:
    """A provider of its own for each case: what one holds, no other misses."""
    return f"{name}-{shape}-{'alone' if alone else 'peer'}".replace("_", "-")


def _ask(router: Serving, name: str, shape: str, alone: bool) -> Answer:
    answer = router.chat(f"g-{_key(name, shape, alone)}", stream=shape == "stream", max_tokens=8)
    router.close()
    return answer


@pytest.fixture(scope="module", params=SPEAKERS)
def run(request: pytest.FixtureRequest) -> tuple[Run, Mapping[tuple[str, str, bool], Answer]]:
    made = Run(*SPEAKERS[request.param])
    return made, made.answers()


def test_a_healthy_peer_serves_the_whole_answer(run: Any) -> None:
    made, answers = run
    wrong = [
        (case, answer.status, answer.body[-300:])
        for (*case, alone), answer in answers.items()
        if not alone and not _is_right(answer, made.faults[case[0]], case[1] == "stream")
    ]
    assert not wrong


def test_alone_every_fault_is_told_as_what_it_is(run: Any) -> None:
    made, answers = run
    wrong = [
        (case, answer.status, answer.body[-300:])
        for (*case, alone), answer in answers.items()
        if alone and not _is_told(answer, made.faults[case[0]])
    ]
    assert not wrong


def _is_right(answer: Answer, fault: Fault, stream: bool) -> bool:
    if fault.late and stream:
        return answer.status == 200 and TEXT.startswith(answer.text) and _is_told(answer, fault)
    if fault.final and answer.status != 200:  # the request itself is at fault, where the words say so
        return _is_told(answer, fault)
    return answer.status == 200 and answer.broken is None and answer.text == TEXT


def _is_told(answer: Answer, fault: Fault) -> bool:
    """By its class, or by that of the attempt: that our own key is refused is not told as the client's fault."""
    error = answer.error
    if not error or "[DONE]" in answer.data:
        return False
    told = error["llmrouter"]
    return bool({told["class"], *(one["class"] for one in told["attempts"])} & {*fault.kinds})
