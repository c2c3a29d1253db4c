"""The contract of repairs."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrouter.protocols import Repairs, RepairType

from .descriptors import check_descriptor

VALID = {
    "an object": '{"name": "a", "sizes": [1, 2.50, -3e2], "more": {"open": true, "then": null}}',
    "an array": '["a", {"b": []}, {}]',
    "a text": '"{not: an object}"',
    "a number": "12",
    "quotes inside": '{"said": "it is \\"so\\", `said` he: {\'a\': 1,}"}',
    "a fence inside": '{"code": "```json\\n{}\\n```"}',
    "a large number": '{"id": 123456789012345678901234567890, "exact": 0.1000000000000000055511151231257827}',
}
SPOILED = {
    "nothing": "",
    "blank": " \n\t",
    "words": "I cannot do that, sorry.",
    "a cut string": '{"a": "cut',
    "a cut string in an array": '["one", "tw',
    "a cut name": '{"a": 1, "b',
    "a name without a value": '{"a": ',
    "a cut number": '{"a": 12',
    "a cut word": '{"a": tru',
    "a cut after a comma": '{"a": "x",',
    "no number": '{"a": NaN}',
    "an infinite number": '{"a": -Infinity}',
    "a bare word": '{"a": whatever}',
    "a value of a cut one": 'Here: {"a": "he said {"b": 1}',
}
PIECES = st.sampled_from(
    [*"{}[]\"'`,:\\/*#<>=\n ", "\u201c", "\u2019", "```json\n", "null", "NaN", "-1", "<tool_call>", "</tool_call>",
     '"name":', '"look"', '"arguments":', "<function=look>", '<invoke name="look">', '<parameter name="a">',
     "[TOOL_CALLS]"]
)  # fmt: skip
SPEECH = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))
TOOLS = ("look", "get-weather")
CALL = '<tool_call>\n{"name": "look", "arguments": {"at": [1, 2]}}\n</tool_call>'


class RepairContract:
    """Subclass it as `TestMyRepairs` and say how to make one. The tools it is tried with stand in `TOOLS`."""

    def make(self) -> Repairs:
        raise NotImplementedError

    def descriptor(self) -> RepairType:
        """What the plugin registers."""
        raise NotImplementedError

    @pytest.mark.parametrize("name", VALID)
    def test_json_stays_what_it_is(self, name: str) -> None:
        mended = self.make().json(VALID[name])
        assert mended is not None
        assert _dense(mended) == _dense(VALID[name])

    @pytest.mark.parametrize("name", SPOILED)
    def test_nothing_is_invented(self, name: str) -> None:
        assert self.make().json(SPOILED[name]) is None

    @pytest.mark.parametrize("value", VALID.values(), ids=VALID)
    def test_a_text_that_was_cut_is_never_completed_with_more_than_brackets(self, value: str) -> None:
        for end in range(1, len(value)):
            if (mended := self.make().json(value[:end])) is not None:
                rest = _dense(mended).removeprefix(_dense(value[:end]))
                assert set(rest) <= {"]", "}"}, value[:end]

    @settings(deadline=None)
    @given(SPEECH)
    def test_what_comes_back_is_json_and_stays_so(self, text: str) -> None:
        mended = self.make().json(text)
        if mended is not None:
            json.loads(mended, parse_constant=_no_number)
            assert self.make().json(mended) == mended

    @settings(deadline=None)
    @given(SPEECH)
    def test_calls_are_of_the_tools_and_have_objects_for_arguments(self, text: str) -> None:
        calls = self.make().calls(text, TOOLS)
        assert calls is None or len(calls) > 0
        for call in calls or ():
            assert call.name in TOOLS
            assert isinstance(json.loads(call.arguments, parse_constant=_no_number), dict)

    def test_a_call_that_was_written_as_text_is_read(self) -> None:
        [call] = self.make().calls(CALL, TOOLS) or ()
        assert (call.name, json.loads(call.arguments)) == ("look", {"at": [1, 2]})
        assert call.id

    def test_calls_have_ids_of_their_own_and_the_same_ones_again(self) -> None:
        twice = CALL + "\n" + CALL
        first, second = self.make().calls(twice, TOOLS) or ()
        assert first.id != second.id
        assert self.make().calls(twice, TOOLS) == [first, second]

    @pytest.mark.parametrize("tools", [(), ("other",)])
    def test_other_tools_are_not_called(self, tools: tuple[str, ...]) -> None:
        assert self.make().calls(CALL, tools) is None

    @pytest.mark.parametrize("text", ["", "I will look at [1, 2].", '{"at": [1, 2]}', VALID["an object"], "look"])
    def test_what_calls_nothing_is_no_call(self, text: str) -> None:
        assert self.make().calls(text, TOOLS) is None

    @pytest.mark.parametrize("text", ["[" * 5_000_000, '{"a": "' + "x" * 5_000_000 + '"}', "half: \ud83d"], ids=len)
    def test_what_is_too_long_or_no_text_is_not_looked_at(self, text: str) -> None:
        assert self.make().json(text) is None
        assert self.make().calls(CALL + text, TOOLS) is None

    def test_its_descriptor_is_sane(self) -> None:
        assert isinstance(self.descriptor(), RepairType)
        check_descriptor(self.descriptor())


def _dense(text: str) -> str:
    return "".join(text.split())


def _no_number(name: str) -> Mapping[str, str]:
    raise AssertionError(f"{name} is no JSON")
