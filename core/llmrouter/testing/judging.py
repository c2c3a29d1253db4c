"""The part of a provider's contract that is about reading answers, and about keeping secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrouter.errors import TransportError
from llmrouter.protocols import Provider
from llmrouter.types import Failure, Kind, Scope, Verdict

from .provider_hooks import ProviderHooks, settled

EXPECTED: Mapping[int, tuple[Kind, ...]] = {
    401: ("auth",),
    402: ("payment",),
    429: ("rate_limited", "quota_exhausted"),
    500: ("server_error",),
    503: ("overloaded", "server_error"),
}
"""Statuses that mean the same everywhere, and the failures they may be read as."""

_headers = st.dictionaries(
    st.sampled_from(["retry-after", "content-type", "x-ratelimit-remaining-requests", "x-ratelimit-reset-tokens"])
    | st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20),
    st.text(max_size=40) | st.sampled_from(["7", "-1", "1e400", "nan", "Fri, 20 Nov 2026 10:00:00 GMT", "1m30s"]),
    max_size=4,
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["error", "message", "type", "code", "status", "details"]), inner)
    ),
    max_leaves=12,
)
_bodies = st.binary(max_size=200) | _json.map(msgspec.json.encode)


class JudgingContract(ProviderHooks):
    """Every provider reads any answer without failing, and says what is wrong with it."""

    def _judge(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        async def main() -> Verdict:
            async with self.opened(self.provider()) as provider:
                return provider.judge(status, headers, body)

        verdict: Verdict = self.execute(main())
        return verdict

    def failure(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> Failure:
        """What the provider makes of a refusal."""
        failure = self._judge(status, headers, body).failure
        assert failure is not None, f"status {status} is a failure"
        return failure

    def test_no_answer_is_too_strange_to_be_judged(self) -> None:
        async def main() -> None:
            async with self.opened(self.provider()) as provider:
                _judge_anything(provider)

        self.execute(main())

    @pytest.mark.parametrize("status", EXPECTED)
    def test_a_status_that_means_the_same_everywhere_is_understood(self, status: int) -> None:
        for body in (b"", b"<html>", b'{"error":{"message":"no"}}', b"[]", b"null"):
            failure = self.failure(status, {}, body)
            assert failure.kind in EXPECTED[status]
            assert failure.status == status

    def test_an_answer_is_no_failure(self) -> None:
        assert self._judge(200, {"content-type": "application/json"}, b"").failure is None
        assert self._judge(200, {"content-type": "text/event-stream"}, b"").failure is None

    def test_an_error_inside_a_good_status_is_a_failure(self) -> None:
        body = b'{"type":"error","error":{"message":"broken","type":"server_error","code":"server_error"}}'
        assert self.failure(200, {}, body).kind in get_args(Kind)

    def test_a_hint_in_seconds_is_taken(self) -> None:
        soon = self.failure(429, {"retry-after": "2"}).retry_at
        later = self.failure(429, {"retry-after": "60"}).retry_at
        assert soon is not None
        assert later is not None
        assert later - soon == pytest.approx(58, abs=2)

    @pytest.mark.parametrize("status", [401, 429, 500, 503])
    def test_a_refused_call_is_a_reply_and_no_exception(self, status: int) -> None:
        made = self.scripted(status, {"content-type": "application/json"}, b'{"error":{"message":"no"}}')
        if made is None:
            pytest.skip("this provider's upstream cannot be scripted")

        async def main() -> None:
            async with self.opened(made) as provider:
                reply = await provider.send(self.call(False))
                body = b"".join([chunk async for chunk in reply.chunks()])
                reply.close()
                assert reply.status == status
                verdict = provider.judge(reply.status, reply.headers, body)
                assert verdict.failure is not None
                assert verdict.failure.kind in EXPECTED[status]
            await settled()

        self.execute(main())

    def test_an_upstream_that_is_not_there_is_a_transport_error(self) -> None:
        made = self.unreachable()
        if made is None:
            pytest.skip("this provider's upstream is always there")

        async def main() -> None:
            async with self.opened(made) as provider:
                with pytest.raises(TransportError) as caught:
                    await provider.send(self.call(False))
            assert caught.value.kind in get_args(Kind)
            assert not [secret for secret in self.secrets if secret in str(caught.value)]
            await settled()

        self.execute(main())

    # ---- discretion

    def test_its_secrets_are_shown_nowhere(self) -> None:
        shown = [repr(self.config()), str(self.config())]

        async def main() -> None:
            async with self.opened(self.provider()) as provider:
                shown.extend([repr(provider), str(provider)])
                for status in (400, 401, 403, 429, 500):
                    for secret in self.secrets:
                        body = msgspec.json.encode({"error": {"message": f"bad key: {secret}", "code": secret}})
                        shown.append(repr(provider.judge(status, {}, body)))
                        shown.append(repr(provider.judge(status, {}, f"bad key {secret}".encode())))

        self.execute(main())
        for text in shown:
            assert not [secret for secret in self.secrets if secret in text]


@settings(deadline=None, derandomize=True, database=None)
@given(st.data())
def _judge_anything(provider: Provider, data: st.DataObject) -> None:
    status = data.draw(st.integers(100, 599))
    verdict = provider.judge(status, data.draw(_headers), data.draw(_bodies))
    assert isinstance(verdict, Verdict)
    msgspec.json.encode(verdict)
    if verdict.failure is None:
        assert status < 400, "what is refused is a failure"
        return
    assert verdict.failure.kind in get_args(Kind)
    assert verdict.failure.scope in get_args(Scope)
    assert len(verdict.failure.message) <= 4096, "a message is no place for a whole page"
