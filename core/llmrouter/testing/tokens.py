"""The contract of a token counter."""

from __future__ import annotations

import pytest

from llmrouter.protocols import TokenCounter, TokenCounterType

from .descriptors import check_descriptor

TEXTS = {
    "prose": "The quick brown fox jumps over the lazy dog. ",
    "code": "def add(a: int, b: int) -> int:\n    return a + b\n",
    "json": '{"name": "search", "arguments": {"query": "tokens", "limit": 10}}',
    "german": "Größere Übungen erfordern längere Wörter. ",
    "chinese": "快速的棕色狐狸跳过懒狗。",
    "emoji": "🦊👨‍👩‍👧‍👦🏳️‍🌈",
    "digits": "1234567890" * 5,
    "one letter": "a" * 200,
    "spaces": " " * 200,
    "newlines": "\r\n\n\t\n" * 20,
    "control marks": "<|endoftext|><|im_start|>user<|fim_prefix|>",
    "nul": "a\x00b\x00c",
    "a lone surrogate": "half an emoji: \ud83d.",
    "combining marks": "e\u0301" * 100,
    "right to left": "שלום עולם مرحبا",
}


class TokenCounterContract:
    """Subclass it as `TestMyCounter`, say how to make one that is ready, and name a model it knows."""

    known: str
    unknown = "a-model-nobody-has-made"

    def make(self) -> TokenCounter:
        """A counter whose vocabulary for `known` is loaded."""
        raise NotImplementedError

    def descriptor(self) -> TokenCounterType:
        """What the plugin registers."""
        raise NotImplementedError

    def counted(self, text: str) -> int:
        count = self.make().count(text, self.known)
        assert type(count) is int
        return count

    def test_nothing_has_no_tokens(self) -> None:
        assert self.counted("") == 0

    @pytest.mark.parametrize("name", TEXTS)
    def test_any_text_has_a_likely_number_of_tokens(self, name: str) -> None:
        text = TEXTS[name]
        size = len(text.encode("utf-8", "replace"))
        assert size / 50 <= self.counted(text) <= size * 3

    @pytest.mark.parametrize("name", TEXTS)
    def test_the_same_text_counts_the_same(self, name: str) -> None:
        counter = self.make()
        assert counter.count(TEXTS[name], self.known) == counter.count(TEXTS[name], self.known)

    @pytest.mark.parametrize("name", TEXTS)
    def test_more_text_has_more_tokens(self, name: str) -> None:
        assert self.counted(TEXTS[name] * 40) > self.counted(TEXTS[name])

    @pytest.mark.parametrize("size", [10_000, 40_000, 200_000, 1_000_000])
    def test_a_long_text_grows_in_proportion(self, size: int) -> None:
        text = TEXTS["prose"] + TEXTS["code"]
        short = self.counted(text * 20) / (len(text) * 20)
        long = text * (size // len(text))
        assert self.counted(long) / len(long) == pytest.approx(short, rel=0.1)

    @pytest.mark.parametrize("text", ["", "hello", "x" * 100_000])
    def test_a_model_without_a_vocabulary_is_not_guessed_at(self, text: str) -> None:
        assert self.make().count(text, self.unknown) is None

    @pytest.mark.parametrize("model", ["", "/", "\ud83d", "x" * 10_000, "../../etc/passwd"])
    def test_a_strange_model_is_an_unknown_one(self, model: str) -> None:
        assert self.make().count("hello", model) is None

    def test_its_descriptor_is_sane(self) -> None:
        assert isinstance(self.descriptor(), TokenCounterType)
        check_descriptor(self.descriptor())
