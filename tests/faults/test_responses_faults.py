"""Every fault of an upstream of Responses, with a peer that speaks chat: the whole answer, or the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from llmrouter.testing.upstream import Received, Script, Upstream
from llmrouter.testing.upstream_faults import faults
from llmrouter.testing.upstream_openai import TEXT, chat
from llmrouter.testing.upstream_responses import Responses
from llmrouter.testing.upstream_scripts import chosen
from tests.calling import Answer, at_once
from tests.faults.setups import PATIENCE
from tests.harness import serving

HEAVY = ("flood", "giant_event")
ALL = {fault.name: fault for fault in faults(Responses()) if fault.name not in HEAVY}
CASES = [(name, shape) for name, fault in ALL.items() for shape in fault.shapes]


@pytest.fixture(scope="module")
def seen() -> Iterator[Mapping[tuple[str, str], Answer]]:
    """One router, a group for each case, all at once."""

    def faulty(request: Received) -> Script:
        return ALL[request.path.split("/")[1]].script

    with Upstream(chosen(faulty)) as bad, Upstream(chat()) as good:
        own = {"plugin": "openai", "api_key": "k", "models": {"m": {}}}
        providers = {
            f"{name}-{shape}".replace("_", "-"): {**own, "base_url": f"{bad.base_url}/{name}/v1"}
            for name, shape in CASES
        }
        setup = {
            "providers": {
                **providers,
                "good": {**own, "profile": "custom", "base_url": f"{good.base_url}/v1"},
            },
            "groups": {f"g-{name}": [[f"{name}/m"], ["good/m"]] for name in providers},
            "engine": {"timeouts": PATIENCE, "deadline": "8s"},
            "breaker": None,
            "logging": {"level": "error"},
        }
        with serving(json.dumps(setup)) as router:

            def ask(number: int) -> Answer:
                name, shape = CASES[number]
                model = f"g-{name}-{shape}".replace("_", "-")
                body = {"model": model, "input": "x", "stream": shape == "stream", "max_output_tokens": 16}
                return router.post("/v1/responses", body)

            yield dict(zip(CASES, at_once(len(CASES), ask, 32), strict=True))


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_client_of_responses_gets_the_answer_or_the_truth(
    seen: Mapping[tuple[str, str], Answer], case: tuple[str, str]
) -> None:
    got, fault = seen[case], ALL[case[0]]
    assert not got.broken
    if fault.final:
        assert (got.status, got.error["type"]) in ((400, "invalid_request_error"), (413, "invalid_request_error"))
    elif fault.late and case[1] == "stream":
        kinds = [event["type"] for event in got.events]
        assert kinds[0] == "response.created"
        assert kinds[-1] == "response.failed"
        assert got.events[-1]["response"]["id"] == got.events[0]["response"]["id"]
        assert [event["sequence_number"] for event in got.events] == list(range(len(kinds)))
    else:
        assert got.status == 200, got.body
        response = got.events[-1]["response"] if case[1] == "stream" else got.json
        assert response["status"] == "completed"
        assert response["output"][0]["content"][0]["text"] == TEXT
