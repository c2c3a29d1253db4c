"""The comparison of recorded and served bytes sees what it should see."""

from __future__ import annotations

from tests.recordings.comparing import changes, same_body, same_stream, text_of, tokens_of

ROLE = b'data: {"id":"1","model":"a","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
USAGE = b'data: {"id":"1","model":"a","choices":[],"usage":{"completion_tokens":3}}\n\n'


def test_a_changed_field_of_a_request_is_seen_and_an_untouched_one_is_not() -> None:
    sent, arrived = b'{"model": "p/m", "a": 1.0, "b": {"c" : 1}}', b'{"model":"m","a":1,"b":{"c" : 1},"d":2}'
    assert changes(sent, arrived) == {"model": (b'"p/m"', b'"m"'), "a": (b"1.0", b"1"), "d": (None, b"2")}


def test_bodies_may_differ_in_model_and_blanks_alone() -> None:
    assert same_body(b' {"model":"a","x":[1]}\n', b'{"model":"b","x":[1]}') == []
    assert same_body(b'{"x":[1]}', b'{"x":[1, 2]}') == ["x: b'[1]' became b'[1, 2]'"]
    assert same_body(b'{"x":1}', b'{"y":1}') == ["x: b'1' became nothing", "y: nothing became b'1'"]
    assert same_body(b'{"x":1}', b"<html>")[0].startswith("unreadable")


def test_streams_may_differ_in_model_comments_end_mark_and_unasked_usage() -> None:
    served = ROLE.replace(b'"a"', b'"b"').replace(b"\n", b"\r\n")
    assert same_stream(b": wait\n\n" + ROLE + USAGE, served + b"data: [DONE]\n\n", usage_asked=False) == []
    assert same_stream(ROLE + USAGE, served, usage_asked=True) == ["2 events became 1"]
    assert same_stream(ROLE, ROLE.replace(b'"x"', b'"y"'), usage_asked=True)[0].startswith("event 0: choices")
    assert same_stream(ROLE, b"event: error\n" + ROLE, usage_asked=True)[0].startswith("event 0: ")


def test_text_and_tokens_are_read_from_either_shape() -> None:
    assert (text_of(ROLE + ROLE, True), tokens_of(ROLE + USAGE, True)) == ("xx", {3})
    plain = b'{"choices":[{"message":{"content":[{"type":"thinking"},{"type":"text","text":"y"}]}}]}'
    assert (text_of(plain, False), tokens_of(plain, False)) == ("y", set())
    assert text_of(b'{"choices":[{"text":"z"}]}', False) == "z"


def test_thoughts_may_be_counted_in_the_total_alone() -> None:
    usage = b'{"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":9}}'
    assert tokens_of(usage, False) == {3, 7}
