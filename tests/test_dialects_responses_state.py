"""What requests of Responses refer to, and what they get back of it."""

from __future__ import annotations

from typing import Any

import pytest

from llmrouter.dialects import Responses, get, loads
from llmrouter.dialects.common import dumps, parse
from llmrouter.dialects.noting import Turn, name_of
from llmrouter.dialects.responses_state import kept, listed, name_of_item, read_stored, stores
from llmrouter.dialects.responses_state import name_of as name_of_response
from llmrouter.errors import InvalidRequest
from llmrouter.types import Fields, Thought

RESPONSES = Responses()
OWN = "openai.responses"
HELLO = {"type": "message", "role": "user", "content": "Hello"}
SAID: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "phase": None,
    "content": [],
}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "sun"}


def fields(**body: Any) -> Fields:
    return parse(dumps({"model": "m", "input": "And?"} | body))


def remembered(**body: Any) -> dict[str, bytes]:
    """What the memory holds after a first turn."""
    response = parse(dumps({"id": "resp_1", "output": [SAID, SEARCH]}))
    return {keep.name: keep.value for keep in kept(fields(input="Hello", **body), response)}


def said(fields: Fields) -> Any:
    return get(fields, "input")


# --- references of the client


def test_what_was_said_before_comes_first() -> None:
    asked = fields(previous_response_id="resp_1")
    assert RESPONSES.refers(asked) == [name_of_response("resp_1")]
    expanded = RESPONSES.expand(asked, remembered())
    spoken = {name: value for name, value in SAID.items() if name != "id" and value is not None}
    assert said(expanded) == [HELLO, spoken, SEARCH, {**HELLO, "content": "And?"}]
    assert get(expanded, "previous_response_id") == "resp_1", "the answer will name it"


def test_instructions_are_not_carried_over() -> None:
    expanded = RESPONSES.expand(fields(previous_response_id="resp_1"), remembered(instructions="Be brief."))
    assert "instructions" not in expanded


def test_a_conversation_goes_on_and_on() -> None:
    second = RESPONSES.expand(fields(previous_response_id="resp_1"), remembered())
    answered = parse(dumps({"id": "resp_2", "output": [SAID | {"id": "msg_2"}]}))
    found = {keep.name: keep.value for keep in kept(second, answered)}
    third = RESPONSES.expand(fields(previous_response_id="resp_2"), found)
    assert len(said(third)) == 6


def test_an_unknown_response_is_refused_as_the_api_does() -> None:
    with pytest.raises(InvalidRequest, match="'resp_9' not found") as caught:
        RESPONSES.expand(fields(previous_response_id="resp_9"), {})
    error = caught.value
    assert (error.status, error.code, error.param) == (400, "previous_response_not_found", "previous_response_id")


def test_an_item_that_is_referred_to_takes_the_place_of_its_reference() -> None:
    asked = fields(input=[HELLO, {"type": "item_reference", "id": "ws_1"}, HELLO])
    assert RESPONSES.refers(asked) == [name_of_item("ws_1")]
    assert said(RESPONSES.expand(asked, remembered())) == [HELLO, SEARCH, HELLO]
    with pytest.raises(InvalidRequest, match="'ws_1' not found") as caught:
        RESPONSES.expand(asked, {})
    assert (caught.value.status, caught.value.param) == (404, "input")


@pytest.mark.parametrize(
    "body", [{}, {"previous_response_id": None}, {"input": [HELLO]}, {"input": "item_reference"}, {"input": None}]
)
def test_most_requests_refer_to_nothing(body: dict[str, Any]) -> None:
    assert RESPONSES.refers(fields(**body)) == []


@pytest.mark.parametrize(("store", "kept"), [(None, True), (True, True), (False, False)])
def test_answers_are_stored_unless_the_client_says_no(store: bool | None, kept: bool) -> None:
    assert stores(fields(store=store)) is kept
    assert stores(fields())


# --- the list of a response's input


def test_items_are_listed_whole_each_with_an_id_of_its_own() -> None:
    response = parse(dumps({"id": "resp_1", "output": []}))
    spoken = {"role": "assistant", "content": "Hi", "id": "msg_own"}
    (keep,) = kept(fields(input=[HELLO, spoken, CALL, OUTPUT]), response)
    found = listed(read_stored(keep.value), "resp_1")
    assert [item["id"] for item in found] == ["msg_10000", "msg_own", "fc_10002", "fco_10003"]
    assert found[0]["content"] == [{"type": "input_text", "text": "Hello"}]
    assert found[1]["content"] == [{"type": "output_text", "annotations": [], "text": "Hi"}]


# --- reasoning that an upstream wants back


def turn(*thoughts: Thought, source: str = OWN) -> dict[str, bytes]:
    return {name_of("c1", {}): dumps(Turn(source, thoughts, {}))}


def test_thoughts_that_a_client_dropped_are_put_back_before_their_turn() -> None:
    asked = fields(input=[HELLO, {"role": "assistant", "content": "Looking."}, CALL, OUTPUT])
    assert RESPONSES.names(asked) == [name_of("c1", {})]
    found = turn(Thought("hm", "gAAA"), Thought("unsigned"))
    (_, thought, *_) = said(RESPONSES.resolve(asked, found))
    assert thought == {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "gAAA",
    }


@pytest.mark.parametrize("found", [{}, turn(Thought("hm", "c2ln"), source="anthropic.messages")])
def test_what_was_not_kept_or_is_anothers_is_not_put_back(found: dict[str, bytes]) -> None:
    asked = fields(input=[HELLO, CALL, OUTPUT])
    assert said(RESPONSES.resolve(asked, found)) == [HELLO, CALL, OUTPUT]
    assert (RESPONSES.resolve(asked, found) is asked) is not bool(found)


def test_turns_that_kept_their_thoughts_or_called_nothing_miss_nothing() -> None:
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    spoken = {"role": "assistant", "content": "Hi"}
    assert RESPONSES.names(fields(input=[HELLO, thought, CALL, OUTPUT, spoken, HELLO])) == []
    assert RESPONSES.names(fields()) == []
    two = fields(input=[CALL, OUTPUT, CALL | {"call_id": "c2"}, CALL | {"call_id": "c3"}])
    assert RESPONSES.names(two) == [name_of("c1", {}), name_of("c2", {})]


def test_what_is_kept_is_json() -> None:
    assert all(loads(value) for value in remembered().values())
