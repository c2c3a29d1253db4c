from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrouter.dialects.common import decode, get, join, loads, parse, raw
from llmrouter.errors import InvalidRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
OBJECTS = st.dictionaries(st.text(max_size=6), JSON, max_size=6)
STYLES: list[dict[str, Any]] = [
    {"separators": (",", ":")}, {}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (" ,", " : ")},
]  # fmt: skip


def refused(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    return caught.value


@given(OBJECTS, st.sampled_from(STYLES))
def test_a_body_is_opened_and_closed_without_changing_what_it_says(
    value: dict[str, Any], style: dict[str, Any]
) -> None:
    body = json.dumps(value, **style).encode("utf-8", "surrogatepass")
    fields = parse(body)
    assert json.loads(join(fields)) == value
    assert {name: loads(one) for name, one in fields.items()} == value


def test_values_nobody_touches_stay_byte_for_byte() -> None:
    body = b'{"model":"m","temperature":1.50,"big":12345678901234567890.10,"messages":[ {"role" : "user"} ]}'
    fields = parse(body) | {"model": raw("other")}
    assert join(fields) == body.replace(b'"m"', b'"other"')


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_refused_with_their_place(constant: str) -> None:
    error = refused(f'{{"messages":[],"temperature":{constant}}}'.encode())
    assert constant in str(error)
    assert "byte 2" in str(error) or "byte 3" in str(error)


@pytest.mark.parametrize("style", STYLES)
def test_a_name_given_twice_is_refused(style: dict[str, Any]) -> None:
    body = json.dumps({"model": "a", "x": 1, "MODEL": "b"}, **style).replace("MODEL", "model").encode()
    error = refused(body)
    assert error.param == "model"
    assert "more than once" in str(error)


def test_a_name_given_twice_is_seen_behind_escapes_and_odd_spaces() -> None:
    assert refused(rb'{"model":1,"mod\u0065l":2}').param == "model"
    assert refused(b'{"x":1, "y":2,"z":3, "ab":1,"ab":1}').param == "ab"


def test_names_given_twice_deeper_down_are_the_upstreams_business() -> None:
    assert bytes(parse(b'{"a":{"b":1,"b":2}}')["a"]) == b'{"b":1,"b":2}'


def test_half_surrogate_pairs_are_kept_for_the_upstream_and_mended_for_us() -> None:
    fields = parse(rb'{"a":"x\ud83d","b":"\ud83d\ude00 fine","c":1}')
    assert bytes(fields["a"]) == rb'"x\ud83d"'
    assert get(fields, "a") == "x�"
    assert get(fields, "b") == "😀 fine"
    assert get(fields, "c") == 1


@pytest.mark.parametrize("open", [b"[", b'{"a":'])
def test_a_body_too_deep_to_read_is_refused_and_not_a_crash(open: bytes) -> None:
    assert "deep" in str(refused(b'{"a":' + open * 100_000))
    shut = b"]" if open == b"[" else b"}"
    assert "deep" in str(refused(b'{"a":' + open * 100_000 + b"1" + shut * 100_000 + b"}"))


def test_a_half_surrogate_in_a_deep_body_is_no_crash_either() -> None:
    assert "deep" in str(refused(rb'{"x":"\ud83d","a":' + b"[" * 100_000))


@pytest.mark.parametrize(
    "body", [b'{"a":"\xff"}', b'{"\xff":1}', b'{"a":"\xc3\xa4\xe2\x82"}', b'{"a":"\\ud83d\xff"}']
)
def test_what_is_not_utf8_is_refused_with_its_place(body: bytes) -> None:
    assert "not UTF-8" in str(refused(body)) or "byte" in str(refused(body))


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"1", b"null"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    assert "must be a JSON object" in str(refused(body))


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_is_refused(body: bytes) -> None:
    assert "empty" in str(refused(body))


@pytest.mark.parametrize("body", [b'{"a":1', b"{'a':1}", b'{"a":tru}', b'{"a":1} x', b'{"a":01}', b'{"a":"\n"}'])
def test_malformed_json_is_refused_with_its_place(body: bytes) -> None:
    error = refused(body)
    assert "line 1" in str(error) or "line 2" in str(error)
    assert error.code == "invalid_json"


def test_a_byte_order_mark_is_tolerated() -> None:
    assert get(parse(b'\xef\xbb\xbf{"a":1}'), "a") == 1


def test_a_number_out_of_range_is_forwarded_until_somebody_needs_it() -> None:
    fields = parse(b'{"seed":1e999}')
    assert join(fields) == b'{"seed":1e999}'
    with pytest.raises(InvalidRequest, match="seed"):
        get(fields, "seed")
    assert "out of range" in str(refused(rb'{"a":"\ud83d","seed":1e999}'))


def test_a_missing_field_is_its_default() -> None:
    assert get({}, "n", 1) == 1


def test_a_value_too_deep_to_decode_is_refused_by_name() -> None:
    deep = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(InvalidRequest, match="messages: nested"):
        get({"messages": deep}, "messages")


def test_a_value_too_deep_to_write_is_refused() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="deep"):
        raw(deep)


def test_typed_decoding_mends_half_surrogates_and_reports_the_rest() -> None:
    assert decode(msgspec.json.Decoder(list[str]), rb'["\ud83d"]') == ["�"]
    with pytest.raises(msgspec.ValidationError):
        decode(msgspec.json.Decoder(list[str]), b"[1]")
    with pytest.raises(ValueError, match="Expecting"):
        loads(b"{")
