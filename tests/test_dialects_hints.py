from __future__ import annotations

import pytest

from llmrouter.dialects.hints import PRIORITIES, hints
from llmrouter.errors import InvalidRequest


@pytest.mark.parametrize("said", ["abc", "nan", "inf", "-1", ""])
@pytest.mark.parametrize("name", ["budget", "timeout"])
def test_a_figure_that_is_none_is_refused_at_the_door(name: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=f"x-llmrouter-{name} must be a number"):
        hints({}, {f"x-llmrouter-{name}": said})
    with pytest.raises(InvalidRequest):
        hints({name: said}, {})


def test_figures_are_taken_as_they_are_said() -> None:
    assert hints({}, {"x-llmrouter-budget": "0.05", "x-llmrouter-timeout": "5s"}) == {
        "budget": "0.05",
        "timeout": "5s",
    }
    assert hints({"timeout": "30"}, {"x-llmrouter-timeout": "5"}) == {"timeout": "5"}


@pytest.mark.parametrize("said", ["urgent", "High", "1", ""])
def test_a_priority_is_one_of_three_words(said: str) -> None:
    for own, headers in [({}, {"x-llmrouter-priority": said}), ({"priority": said}, {})]:
        with pytest.raises(
            InvalidRequest, match="x-llmrouter-priority must be one of high, normal, low"
        ) as refused:
            hints(own, headers)
        assert refused.value.param == "x-llmrouter-priority"
    for word in PRIORITIES:
        assert hints({}, {"x-llmrouter-priority": word}) == {"priority": word}
