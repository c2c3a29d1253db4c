"""An operator's word on what a failure means: `engine.rules`, ahead of what a provider plugin makes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from llmrouter.provider.refusals import SCOPES
from llmrouter.settings import MatchSettings, RuleSettings
from llmrouter.types import Failure, Verdict

from .attempt import Judge

Numbered = tuple[int, RuleSettings]


def judging(rules: Sequence[RuleSettings], provider: str, judge: Judge) -> Judge:
    """A provider's `judge`, under the rules that are for it."""
    if not rules:
        return judge
    own = [(number, rule) for number, rule in enumerate(rules, 1) if rule.match.provider in (None, provider)]
    return partial(_judged, own, judge) if own else judge


def _judged(
    rules: Sequence[Numbered], judge: Judge, status: int, headers: Mapping[str, str], body: bytes
) -> Verdict:
    verdict = judge(status, headers, body)
    if status < 300 and not body:
        return verdict  # the head of a good answer
    failure = verdict.failure or Failure(kind="server_error", scope="endpoint", status=status)
    for number, rule in rules:
        if _matches(rule.match, status, failure, body):
            return Verdict(_said(rule, number, failure), verdict.sightings)
    return verdict


def _matches(match: MatchSettings, status: int, failure: Failure, body: bytes) -> bool:
    if match.status and not {status, failure.status} & {*match.status}:
        return False
    if match.code and failure.code not in match.code:
        return False
    return match.body is None or re.search(match.body, body.decode("utf-8", "replace")) is not None


def _said(rule: RuleSettings, number: int, failure: Failure) -> Failure:
    return msgspec.structs.replace(
        failure,
        kind=rule.kind,
        scope=rule.scope or SCOPES.get(rule.kind, "endpoint"),
        then=rule.then,
        hold=rule.hold,
        by=f"rule {number}",
    )
