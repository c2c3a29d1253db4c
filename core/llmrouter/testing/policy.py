"""The contract of a policy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, cast

import cattrs
import jsonschema
import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from llmrouter.protocols import Policy, PolicyType
from llmrouter.types import Candidate, Facts, Hold, Ranked, Wire

from .context import FakeContext
from .descriptors import check_descriptor

WIRE = Wire("openai.chat", False)
FACTS = Facts(id="request", at=1_000_000_000.0, wire=WIRE, asked="group", input_tokens=1_000, max_output=500)


def candidate(endpoint: str, **known: Any) -> Candidate:
    """A candidate for tests: `candidate("acme/small", cost=0.01, weight=2.0)`."""
    provider, _, model = endpoint.partition("/")
    return Candidate(endpoint=endpoint, provider=provider, model=model, wire=WIRE, **known)


_SHARES = st.floats(0, 1)
_CANDIDATES = st.builds(
    candidate,
    st.builds("{}/model-{}".format, st.sampled_from(["a", "b", "free"]), st.integers(0, 30)),
    weight=st.sampled_from([0.0, 1.0, 1.0, 3.0]) | st.floats(0, 1e6),
    window=st.none() | st.integers(1, 2_000_000),
    cost=st.sampled_from([None, 0.0, 0.01, 0.01]) | st.floats(0, 1e4),
    quality=st.just(0.5) | _SHARES,
    ttft=st.just(0.0) | st.floats(0, 600),
    headroom=st.just(1.0) | _SHARES,
    load=st.integers(0, 1_000),
    turns=st.integers(0, 10**9),
    cached_tokens=st.integers(0, 10**6),
    hold=st.none() | st.builds(Hold, st.floats(1e9, 2e9), st.just("limit"), st.just("endpoint")),
)
CANDIDATES = st.lists(_CANDIDATES, max_size=8, unique_by=lambda one: one.endpoint)
"""Any tier that the core may ask about: known and unknown costs, zeros, ties, held ones."""
DRAWS = st.floats(0, 1, exclude_max=True)


class PolicyContract:
    """Subclass it as `TestMyPolicy` and set `descriptor`. Every test runs for each of `configs`."""

    descriptor: PolicyType
    configs: Sequence[Mapping[str, Any]] = ({},)
    """Keys as they stand in the configuration, without `plugin`."""

    def make(self, keys: Mapping[str, Any] | None = None) -> Policy:
        """The policy for these keys, checked by its schema. Override it for a policy that is no plugin."""
        jsonschema.validate(keys or {}, self.descriptor.schema, jsonschema.Draft202012Validator)
        converter = cattrs.Converter(forbid_extra_keys=True)
        config = converter.structure(keys or {}, self.descriptor.config)
        built: Any = self.descriptor.build(config, FakeContext("policy"))
        assert isinstance(built.rank(FACTS, [], 0.0), Sequence)
        return cast(Policy, built)

    def policies(self) -> Sequence[Policy]:
        return [self.make(keys) for keys in self.configs]

    def test_its_descriptor_is_sane(self) -> None:
        assert isinstance(self.descriptor, PolicyType)
        check_descriptor(self.descriptor)

    def test_a_typo_is_an_error(self) -> None:
        with pytest.raises(jsonschema.ValidationError):
            self.make({"no_such_key": 1})

    def test_no_candidates_make_no_plan(self) -> None:
        for policy in self.policies():
            assert list(policy.rank(FACTS, [], 0.5)) == []

    def test_a_single_candidate_is_the_plan(self) -> None:
        only = candidate("acme/only", cost=0.0, quality=1.0)
        for policy in self.policies():
            assert [one.candidate for one in policy.rank(FACTS, [only], 0.5)] == [only]

    def test_what_it_ranks_are_the_candidates_each_once(self) -> None:
        _ranks_what_it_got(self.policies())

    def test_scores_fall_from_one_to_zero_and_parts_are_numbers(self) -> None:
        _scores_fall(self.policies())

    def test_the_same_arguments_give_the_same_plan(self) -> None:
        _is_pure(list(zip(self.policies(), self.policies(), strict=True)))

    def test_a_recorded_plan_ranks_again_to_itself(self) -> None:
        _replays(self.policies())

    def test_unknown_costs_are_no_reason_to_fail(self) -> None:
        candidates = [candidate(f"acme/{number}") for number in range(5)]
        for policy in self.policies():
            policy.rank(FACTS, candidates, 0.1)

    def test_four_hundred_candidates_are_ranked_in_no_time(self) -> None:
        candidates = [
            candidate(f"acme/{number}", cost=number % 7 / 100, quality=number % 5 / 5) for number in range(400)
        ]
        for policy in self.policies():
            assert min(_seconds(policy, candidates) for _ in range(5)) < 0.05, "too slow with many candidates"


# the cases are small, and shrinking them takes minutes where a policy rolls dice
_any = settings(deadline=None, derandomize=True, database=None, phases=(Phase.generate,))


@_any
@given(candidates=CANDIDATES, draw=DRAWS)
def _ranks_what_it_got(policies: Sequence[Policy], candidates: list[Candidate], draw: float) -> None:
    for policy in policies:
        plan = policy.rank(FACTS, candidates, draw)
        assert all(isinstance(one, Ranked) for one in plan)
        assert all(one.candidate in candidates for one in plan), "a candidate was invented"
        assert len({one.candidate.endpoint for one in plan}) == len(plan), "a candidate is there twice"


@_any
@given(candidates=CANDIDATES, draw=DRAWS)
def _scores_fall(policies: Sequence[Policy], candidates: list[Candidate], draw: float) -> None:
    for policy in policies:
        plan = policy.rank(FACTS, candidates, draw)
        scores = [one.score for one in plan]
        assert all(0.0 <= score <= 1.0 for score in scores)
        assert scores == sorted(scores, reverse=True)
        for one in plan:
            assert all(isinstance(part, int | float) and isfinite(part) for part in one.parts.values())


@_any
@given(candidates=CANDIDATES, draw=DRAWS)
def _is_pure(twins: Sequence[tuple[Policy, Policy]], candidates: list[Candidate], draw: float) -> None:
    for policy, twin in twins:
        before = msgspec.json.encode(candidates)
        plan = list(policy.rank(FACTS, candidates, draw))
        policy.rank(FACTS, candidates[::2], 1 - draw)
        assert list(policy.rank(FACTS, tuple(candidates), draw)) == plan, "it remembers what it was asked"
        assert list(twin.rank(FACTS, candidates, draw)) == plan, "two of one configuration differ"
        assert msgspec.json.encode(candidates) == before, "it changed what it was handed"


@_any
@given(candidates=CANDIDATES, draw=DRAWS)
def _replays(policies: Sequence[Policy], candidates: list[Candidate], draw: float) -> None:
    for policy in policies:
        plan = sorted(policy.rank(FACTS, candidates, draw), key=_held_until)
        recorded = msgspec.json.decode(msgspec.json.encode(plan), type=list[Ranked])
        again = policy.rank(FACTS, [one.candidate for one in recorded], draw)
        order = [one.candidate for one in sorted(again, key=_held_until)]
        assert order == [one.candidate for one in plan]


def _seconds(policy: Policy, candidates: Sequence[Candidate]) -> float:
    started = time.process_time()
    policy.rank(FACTS, candidates, 0.3)
    return time.process_time() - started


def _held_until(ranked: Ranked) -> float:
    """The core's own last step: held candidates go to the back, the first to recover before the others."""
    return ranked.candidate.hold.until if ranked.candidate.hold else 0.0
