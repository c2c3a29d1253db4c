from __future__ import annotations

import msgspec
import pytest

from llmrouter import dialects
from llmrouter.dialects import parse
from llmrouter.protocols import Dialect, Reader, Writer
from llmrouter.types import Conversation, Documents, Inputs, Message, Payload, Request, Text, Trouble

BODIES = {
    "openai.chat": b'{"model":"m","messages":[{"role":"user","content":"hi"}]}',
    "openai.responses": b'{"model":"m","input":"hi"}',
    "anthropic.messages": b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}',
    "openai.completions": b'{"model":"m","prompt":"hi"}',
    "openai.embeddings": b'{"model":"m","input":"hi"}',
    "rerank": b'{"model":"m","query":"hi","documents":["a"]}',
}


def test_the_names_that_are_exported_are_there() -> None:
    assert sorted(dialects.__all__) == dialects.__all__
    assert all(hasattr(dialects, name) for name in dialects.__all__)


def test_the_core_speaks_its_dialects_on_paths_of_their_own() -> None:
    found = dialects.builtin()
    assert {one.name for one in found} >= set(BODIES)
    paths = {path: op for one in found for path, op in one.paths.items()}
    assert paths == {
        "/v1/chat/completions": "chat",
        "/v1/responses": "chat",
        "/v1/responses/input_tokens": "count",
        "/v1/messages": "chat",
        "/v1/messages/count_tokens": "count",
        "/v1/completions": "chat",
        "/v1/embeddings": "embed",
        "/v1/rerank": "rerank",
        "/v2/rerank": "rerank",
        "/rerank": "rerank",
    }
    assert all(op in one.ops for one in found for op in one.paths.values())


@pytest.mark.parametrize(
    "dialect", [one for one in dialects.builtin() if one.name in BODIES], ids=lambda one: one.name
)
def test_every_dialect_does_all_that_the_protocol_asks(dialect: Dialect) -> None:
    (op,) = dialect.ops - {"count"}
    fields = parse(BODIES[dialect.name])
    facts = dialect.facts(op, fields, {})
    assert (facts.op, facts.wire.dialect, facts.asked, facts.id, facts.at, facts.client) == (
        op, dialect.name, "m", "", 0.0, "",
    )  # fmt: skip
    assert facts.needs <= dialect.expresses
    payload: Payload = dialect.decode(op, fields)
    said = {
        "chat": Conversation(messages=(Message("user", (Text("hi"),)),)),
        "embed": Inputs(("hi",)),
        "rerank": Documents("hi", ("a",)),
    }
    assert (msgspec.structs.replace(payload, options={}) if op == "chat" else payload) == said[op]
    assert not dialect.encode(op, payload).dropped
    assert dialects.get(dialect.aim(fields, "other", False), "model") == "other"
    reader: Reader = dialect.reader(op, False)
    assert list(reader.feed(b"")) == []
    writer: Writer = dialect.writer(Request(facts, fields))
    trouble = Trouble(status=400, kind="invalid_request", code="x", message="No.")
    assert writer.fail(trouble) == dialect.refuse(trouble)
