"""What the upstream lets in, how quick it is, and how it fails."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from llmrouter_provider_echo.config import EchoQuota

from llmrouter.errors import TransportError
from llmrouter.settings import AccountSettings, ModelSettings, Secret
from llmrouter.testing import run
from llmrouter.testing.context import START
from llmrouter.types import Call

HELLO = [{"role": "user", "content": "say hello you there"}]  # five tokens


async def timed(client: Any, **body: Any) -> tuple[float, list[float]]:
    """When the headers came and when each piece did, in seconds from the call."""
    clock = asyncio.get_running_loop().time
    started = clock()
    reply = await client.send("chat", messages=HELLO, **body)
    headers = clock() - started
    return headers, [round(clock() - started, 6) async for _ in reply.chunks()]


# --- who is let in


def test_a_model_that_is_not_there_is_404(make: Any) -> None:
    status, error = make().refused("chat", messages=HELLO, model="other")
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")


def test_a_star_stands_for_every_model(make: Any) -> None:
    client = make(models={"*": ModelSettings()})
    assert client.post("chat", messages=HELLO, model="any/thing:at-all")["model"] == "any/thing:at-all"


def test_a_model_is_asked_in_its_own_formats_only(make: Any) -> None:
    client = make(models={"echo-embed": ModelSettings(), "echo-small": ModelSettings()})
    assert client.refused("chat", messages=HELLO, model="echo-embed")[0] == 404
    assert client.refused("embeddings", input="x", model="echo-small")[0] == 404
    assert client.post("embeddings", input="x", model="echo-embed")["model"] == "echo-embed"
    assert client.refused("messages", messages=HELLO, model="echo-small")[1]["code"] == "unknown_url"


def test_a_prompt_larger_than_the_window_is_refused(make: Any) -> None:
    client = make(models={"m": ModelSettings(context_window=50, max_output=4)})
    status, error = client.refused("chat", messages=[{"role": "user", "content": "x" * 200}])
    assert (status, error["code"]) == (400, "context_length_exceeded")
    assert client.refused("embeddings", input="x" * 200)[1]["code"] == "context_length_exceeded"
    assert client.refused("completions", prompt="x" * 200)[1]["code"] == "context_length_exceeded"
    assert client.chat("write 50 words")["finish_reason"] == "length"
    assert len(client.says("write 50 words")) == 16


@pytest.mark.parametrize("body", [b'{"model":', b'"\\ud800"', b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_json_is_400(make: Any, body: bytes) -> None:
    client = make()
    call: Call = client.call("chat", {})
    call = msgspec.structs.replace(call, fields={"model": msgspec.Raw(body)})

    async def main() -> int:
        return int((await client.upstream.send(call)).status)

    assert run(main()) == 400


def test_an_account_with_a_wrong_key_is_401_where_keys_are_checked(make: Any) -> None:
    accounts = (
        AccountSettings(id="good", api_key=Secret("right")),
        AccountSettings(id="bad", api_key=Secret("wrong")),
        AccountSettings(id="none"),
    )
    client = make(accounts=accounts, accepted_keys=(Secret("right"),))

    async def main() -> list[int]:
        return [(await client.send("chat", account=place, messages=HELLO)).status for place in range(3)]

    assert run(main()) == [200, 401, 401]
    assert make(accounts=accounts).post("chat", messages=HELLO)


# --- how quick it is


def test_a_stream_comes_token_by_token(make: Any) -> None:
    client = make(latency=2.0, token_delay=0.5)
    headers, pieces = run(timed(client, stream=True))
    assert headers == 0.0
    assert pieces == [0.0, 2.0, 2.5, 3.0, 3.5, 3.5, 3.5]  # role, four tokens, finish, end mark


def test_a_plain_answer_comes_when_it_is_written(make: Any) -> None:
    headers, pieces = run(timed(make(latency=2.0, tokens_per_second=2)))
    assert headers == 2.0
    assert pieces == [4.0]


def test_a_delay_goes_before_a_speed(make: Any) -> None:
    assert make(token_delay=0.5, tokens_per_second=100).config.pace == 0.5
    assert make(tokens_per_second=4).config.pace == 0.25
    assert make().config.pace == 0


# --- how it fails


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 502, 503, 504, 529])
def test_it_fails_by_the_status_it_was_told(make: Any, status: int) -> None:
    client = make(failure_rate=1.0, failure=status, retry_after=7.2)
    found, headers, data = client.raw("chat", messages=HELLO)
    assert found == status
    assert set(msgspec.json.decode(data)["error"]) == {"message", "type", "param", "code"}
    assert headers.get("retry-after") == ("8" if status in (429, 503, 529) else None)
    verdict = client.upstream.judge(found, headers, data)
    assert verdict.failure.status == status
    assert (verdict.failure.retry_at == START + 7.2) == (status in (429, 503, 529))


def test_it_fails_as_often_as_it_was_told_and_always_alike(make: Any) -> None:
    async def main() -> list[int]:
        client = make(failure_rate=0.3)
        return [(await client.send("chat", messages=HELLO)).status for _ in range(500)]

    statuses = run(main())
    assert statuses == run(main())
    assert 110 < statuses.count(500) < 190
    assert set(statuses) == {200, 500}


def test_an_upstream_that_is_not_there_or_never_answers(make: Any) -> None:
    async def main(failure: str) -> tuple[str, float]:
        clock = asyncio.get_running_loop().time
        started = clock()
        with pytest.raises(TransportError) as caught:
            await make(failure_rate=1.0, failure=failure).send("chat", messages=HELLO)
        return caught.value.kind, clock() - started

    assert run(main("connect")) == ("connect", 0.0)
    assert run(main("hang")) == ("timeout_headers", 30.0)


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_is_cut_in_its_middle(make: Any, stream: bool) -> None:
    async def main() -> bytes:
        reply = await make(failure_rate=1.0, failure="cut").send("chat", messages=HELLO, stream=stream)
        data = b""
        try:
            async for chunk in reply.chunks():
                data += chunk
        except TransportError as error:
            return error.kind.encode() + data
        raise AssertionError("it ended well")

    data = run(main())
    assert data.startswith(b"truncated")
    assert len(data) > 50
    assert b'"finish_reason":"stop"' not in data
    assert (b"hell" in data) == stream


@pytest.mark.parametrize("stream", [True, False])
def test_a_stalled_answer_is_silent_until_it_is_closed(make: Any, stream: bool) -> None:
    async def main() -> tuple[int, float]:
        clock = asyncio.get_running_loop().time
        started = clock()
        reply = await make(failure_rate=1.0, failure="stall").send("chat", messages=HELLO, stream=stream)
        asyncio.get_running_loop().call_later(3_600, reply.close)
        pieces = [chunk async for chunk in reply.chunks()]
        return len(pieces), clock() - started

    assert run(main()) == (3 if stream else 1, 3_600)


def test_an_error_may_stand_inside_a_good_status(make: Any) -> None:
    client = make(failure_rate=1.0, failure="error")
    status, headers, data = client.raw("chat", messages=HELLO)
    assert status == 200
    assert client.upstream.judge(status, headers, data).failure.kind == "server_error"
    status, _, data = client.raw("chat", messages=HELLO, stream=True)
    assert status == 200
    assert msgspec.json.decode(data.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]["type"] == "server_error"
    assert b"[DONE]" not in data


@pytest.mark.parametrize("words", ["say x", "say", "refuse"])
def test_short_answers_break_too(make: Any, words: str) -> None:
    async def main() -> None:
        client = make(failure_rate=1.0, failure="cut")
        reply = await client.send("chat", messages=[{"role": "user", "content": words}], stream=True, stop="x")
        with pytest.raises(TransportError):
            _ = [chunk async for chunk in reply.chunks()]

    run(main())


# --- its limits


def test_a_quota_is_kept_and_told(make: Any) -> None:
    async def main() -> list[tuple[int, str, str, str | None]]:
        client = make(quota=EchoQuota(requests=2, per="minute"))
        seen = []
        for wait in (0, 15, 15, 31):
            await asyncio.sleep(wait)
            reply = await client.send("chat", messages=HELLO)
            headers = reply.headers
            seen.append(
                (
                    reply.status,
                    headers["x-ratelimit-remaining-requests"],
                    headers["x-ratelimit-reset-requests"],
                    headers.get("retry-after"),
                )
            )
        return seen

    assert run(main()) == [
        (200, "1", "60.000s", None),
        (200, "0", "45.000s", None),
        (429, "0", "30.000s", "30"),
        (200, "1", "60.000s", None),
    ]


def test_a_quota_belongs_to_a_group_and_a_model(make: Any) -> None:
    accounts = (
        AccountSettings(id="a", quota_group="shared"),
        AccountSettings(id="b", quota_group="shared"),
        AccountSettings(id="c"),
    )
    client = make(accounts=accounts, quota=EchoQuota(requests=1, per="5h"))

    async def main() -> list[int]:
        return [(await client.send("chat", account=place, messages=HELLO)).status for place in (0, 1, 2)]

    assert run(main()) == [200, 429, 200]


@pytest.mark.parametrize(
    ("per", "seconds"), [("minute", 60), ("hour", 3_600), ("90s", 90), ("5h", 18_000), ("2d", 172_800)]
)
def test_windows_have_names_or_lengths(per: str, seconds: float) -> None:
    assert EchoQuota(requests=1, per=per).seconds == seconds


def test_what_is_left_is_seen(make: Any) -> None:
    client = make(quota=EchoQuota(requests=1, per="5h"))

    async def main() -> Any:
        await client.send("chat", messages=HELLO)
        reply = await client.send("chat", messages=HELLO)
        data = b"".join([chunk async for chunk in reply.chunks()])
        return client.upstream.judge(reply.status, reply.headers, data)

    verdict = run(main())
    (sighting,) = verdict.sightings
    assert (sighting.scope, sighting.unit, sighting.window) == ("account_model", "requests", "5h")
    assert (sighting.limit, sighting.remaining, sighting.resets_at) == (1, 0, START + 18_000)
    assert (verdict.failure.kind, verdict.failure.scope) == ("quota_exhausted", "account_model")
    assert make().upstream.judge(200, {"x-ratelimit-remaining-requests": "5"}, b"").sightings == ()
