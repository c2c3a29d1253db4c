"""The counter: loads a vocabulary in a thread when a model first needs it, and counts in bounded time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import tiktoken
from attrs import define, field

from .vocabulary import Vocabulary, beginnings, find, read

LONGEST = 32_768
"""Characters that are counted one by one, which takes up to a millisecond; of a longer text a sample is."""
SLICES = 8


def _executor() -> Executor:
    return ThreadPoolExecutor(1, "tiktoken")


@define(eq=False)
class TiktokenCounter:
    """Counts tokens; None for a model without a vocabulary, or while (and if) its ranks are not loaded.

    An async context manager: leaving it ends the thread.
    """

    vocabularies: Sequence[Vocabulary]
    folders: Sequence[Path]
    log: logging.Logger
    executor: Executor = field(factory=_executor)
    _beginnings: list[tuple[str, Vocabulary]] = field(init=False)
    _loaded: dict[str, Future[tiktoken.Encoding | None]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._beginnings = beginnings(self.vocabularies)

    async def __aenter__(self) -> TiktokenCounter:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)

    def count(self, text: str, model: str) -> int | None:
        vocabulary = self._vocabulary(model)
        encoding = None if vocabulary is None else self._encoding(vocabulary)
        if encoding is None:
            return None
        if len(text) <= LONGEST:
            return _count(encoding, text)
        sample = _sample(text)
        counts = [_count(encoding, one) for one in sample]
        counted = [(len(one), count) for one, count in zip(sample, counts, strict=True) if count is not None]
        if not counted:
            return None
        return round(sum(count for _, count in counted) * len(text) / sum(size for size, _ in counted))

    def _vocabulary(self, model: str) -> Vocabulary | None:
        """By the model's own name: "vendor/model" is how resellers call it."""
        name = model.rpartition("/")[2]
        return next((one for begin, one in self._beginnings if name.startswith(begin)), None)

    def _encoding(self, vocabulary: Vocabulary) -> tiktoken.Encoding | None:
        loaded = self._loaded.get(vocabulary.name)
        if loaded is None:
            loaded = self._loaded[vocabulary.name] = self.executor.submit(self._load, vocabulary)
        return loaded.result() if loaded.done() else None

    def _load(self, vocabulary: Vocabulary) -> tiktoken.Encoding | None:
        """In the thread. What cannot be loaded is said once, and the core's estimate stands."""
        try:
            ranks = dict(read(vocabulary, find(vocabulary, self.folders)))
            return tiktoken.Encoding(
                vocabulary.name, pat_str=vocabulary.pattern, mergeable_ranks=ranks, special_tokens={}
            )
        except (OSError, ValueError) as error:
            self.log.warning("tokens tiktoken: token counts stay estimates: %s", error)
            return None


def _sample(text: str) -> list[str]:
    """Slices spread evenly over the text, together as long as `LONGEST`."""
    size = LONGEST // SLICES
    step = (len(text) - size) / (SLICES - 1)
    starts = [int(number * step) for number in range(SLICES)]
    return [text[start : start + size] for start in starts]


def _count(encoding: tiktoken.Encoding, text: str) -> int | None:
    """Tokens of a short text, in which control marks are text like any other; None if tiktoken panics."""
    try:
        return len(encoding.encode_ordinary(text))
    except BaseException as error:
        if (
            type(error).__name__ == "PanicException"
        ):  # of its Rust part; it derives from BaseException and has no import
            return None
        raise
