from __future__ import annotations

import pytest

from llmrouter.dialects.hints import hints
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
