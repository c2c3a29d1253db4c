"""The tiktoken counter: the contract of every counter, its files, and what tiktoken may do to it."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import attrs
import llmrouter_tokens_tiktoken
import pytest
from llmrouter_tokens_tiktoken import Config, folders
from llmrouter_tokens_tiktoken.counter import LONGEST, TiktokenCounter
from llmrouter_tokens_tiktoken.vocabulary import Vocabulary, beginnings, bundled, find

from llmrouter.protocols import TokenCounterType
from llmrouter.testing import run
from llmrouter.testing.context import FakeContext
from llmrouter.testing.tokens import TokenCounterContract

log = logging.getLogger("test")
RECORDED = Path(__file__).parents[4] / "shared" / "data" / "tokenizers"


def descriptor() -> TokenCounterType:
    [found] = llmrouter_tokens_tiktoken.llmrouter_register_token_counters()
    return found


def ranks() -> bytes:
    """A tiny vocabulary: every byte, and three merges."""
    tokens = [bytes([number]) for number in range(256)] + [b"th", b"the", b" the"]
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))


TINY = Vocabulary(
    name="tiny",
    url="https://ranks.example/tiny",
    sha256=hashlib.sha256(ranks()).hexdigest(),
    pattern=r" ?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+|\s+",
    models=("tiny-1", "tiny-2"),
)


class Inline(Executor):
    """Does the work at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Later(Executor):
    """Does the work when it is told to."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []
        self.closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.work.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.closed = True


def a_folder(name: str = "tiny.tiktoken", content: bytes | None = None) -> Path:
    folder = Path(tempfile.mkdtemp())
    (folder / name).write_bytes(ranks() if content is None else content)
    return folder


@pytest.fixture(scope="module")
def ready() -> TiktokenCounter:
    return TiktokenCounter([TINY], [a_folder()], log, Inline())


class TestTiktokenCounter(TokenCounterContract):
    known = "tiny-1"

    @pytest.fixture(autouse=True)
    def _ready(self, ready: TiktokenCounter) -> None:
        self.ready = ready

    def make(self) -> TiktokenCounter:
        return self.ready

    def descriptor(self) -> TokenCounterType:
        return descriptor()


# --- loading


def test_the_first_counts_are_none_until_the_vocabulary_is_loaded() -> None:
    executor = Later()
    counter = TiktokenCounter([TINY], [a_folder()], log, executor)
    assert counter.count("the", "tiny-1") is None
    assert counter.count("the", "tiny-2") is None
    [load] = executor.work
    load()
    assert counter.count("the", "tiny-1") == counter.count("the", "tiny-2") == 1


def test_nothing_is_loaded_for_a_model_without_a_vocabulary() -> None:
    executor = Later()
    TiktokenCounter([TINY], [a_folder()], log, executor).count("the", "other")
    assert executor.work == []


def test_a_vocabulary_that_is_missing_is_said_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    counter = TiktokenCounter([TINY], [tmp_path], log, Inline())
    assert [counter.count("the", "tiny-1") for _ in range(3)] == [None] * 3
    [message] = caplog.messages
    assert f"no tiny.tiktoken in {tmp_path}" in message


@pytest.mark.parametrize("content", [b"", b"not a rank file", ranks() + b"dGhl 999\n", ranks()[:-30]])
def test_a_file_that_is_not_the_published_one_is_refused(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    counter = TiktokenCounter([TINY], [a_folder(content=content)], log, Inline())
    assert counter.count("the", "tiny-1") is None
    assert "SHA-256" in caplog.text


def test_a_file_with_the_right_hash_and_no_ranks_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    bad = attrs.evolve(TINY, sha256=hashlib.sha256(b"x y z\n").hexdigest())
    counter = TiktokenCounter([bad], [a_folder(content=b"x y z\n")], log, Inline())
    assert counter.count("the", "tiny-1") is None
    assert "stay estimates" in caplog.text


def test_the_name_of_tiktokens_own_cache_is_found() -> None:
    cached = hashlib.sha1(b"https://ranks.example/tiny").hexdigest()
    folder = a_folder(cached)
    assert find(TINY, [Path("/nowhere"), folder]) == folder / cached


def test_loading_happens_in_a_thread_and_leaving_ends_it() -> None:
    async def body() -> int | None:
        async with TiktokenCounter([TINY], [a_folder()], log) as counter:
            assert counter.count("the", "other") is None
            counter.count("the", "tiny-1")
            counter.executor.submit(lambda: None).result()  # the one thread has done what came before
            return counter.count("the", "tiny-1")

    assert run(body()) == 1
    executor = Later()

    async def leave() -> None:
        async with TiktokenCounter([TINY], [], log, executor):
            assert not executor.closed

    run(leave())
    assert executor.closed


# --- counting


@pytest.mark.parametrize(("text", "count"), [("the", 1), ("the the", 2), ("thx", 2), ("abc", 3), ("🦊", 4)])
def test_counts_are_exact(ready: TiktokenCounter, text: str, count: int) -> None:
    assert ready.count(text, "tiny-1") == count


def test_a_resellers_name_of_a_model_is_understood(ready: TiktokenCounter) -> None:
    assert ready.count("the", "reseller/vendor/tiny-2-2026-01-01") == 1


class Watched:
    """An encoding of one token a character that remembers what it was asked, and panics when told to."""

    def __init__(self, panic: str = "") -> None:
        self.asked: list[str] = []
        self.panic = panic

    def encode_ordinary(self, text: str) -> list[int]:
        self.asked.append(text)
        if self.panic and self.panic in text:
            raise type("PanicException", (BaseException,), {})("called `unwrap()` on an `Err` value")
        return [0] * len(text)


def a_counter_over(encoding: Watched) -> TiktokenCounter:
    counter = TiktokenCounter([TINY], [], log, Inline())
    future: Future[Any] = Future()
    future.set_result(encoding)
    counter._loaded["tiny"] = future
    return counter


@pytest.mark.parametrize("size", [LONGEST + 1, LONGEST * 3, 5_000_000])
def test_of_a_long_text_a_bounded_sample_is_counted(size: int) -> None:
    encoding = Watched()
    text = "x" * (size - 1) + "!"
    assert a_counter_over(encoding).count(text, "tiny-1") == size
    assert sum(map(len, encoding.asked)) == LONGEST
    assert encoding.asked[-1].endswith("!"), "the sample reaches the end"


def test_a_panic_is_no_count_and_no_exception() -> None:
    assert a_counter_over(Watched("x")).count("xyz", "tiny-1") is None
    assert a_counter_over(Watched("x")).count("x" * 100_000, "tiny-1") is None


def test_a_panic_in_one_slice_leaves_the_others() -> None:
    assert a_counter_over(Watched("!")).count("x" * 99_999 + "!", "tiny-1") == 100_000


def test_any_other_base_exception_goes_on() -> None:
    class Interrupted(Watched):
        def encode_ordinary(self, text: str) -> list[int]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        a_counter_over(Interrupted()).count("x", "tiny-1")


# --- the data file and the plugin


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-4o-2024-08-06", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("gpt-5-nano", "o200k_base"),
        ("openai/gpt-oss-120b", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("text-embedding-3-large", "cl100k_base"),
        ("claude-sonnet-4-5", None),
        ("gemini-2.5-pro", None),
        ("llama-4", None),
    ],
)
def test_the_data_file_knows_which_models_use_what(model: str, vocabulary: str | None) -> None:
    found = TiktokenCounter(bundled(), [], log, Later())._vocabulary(model)
    assert (found.name if found else None) == vocabulary


def test_the_longest_beginning_is_asked_first() -> None:
    sizes = [len(begin) for begin, _ in beginnings(bundled())]
    assert sizes == sorted(sizes, reverse=True)


def test_files_are_looked_for_where_the_configuration_and_the_environment_say() -> None:
    environ = {"TIKTOKEN_CACHE_DIR": "/cache", "LLMROUTER_TIKTOKEN_DIR": "/ours"}
    state = Path("/state")
    assert folders(Config(path="/here"), environ, state) == [Path("/here")]
    assert folders(Config(), environ, state) == [Path("/ours"), Path("/cache"), Path("/state/tiktoken")]
    assert folders(Config(), {}, state) == [Path("/state/tiktoken")]


def test_what_is_built_knows_the_bundled_vocabularies(tmp_path: Path) -> None:
    type_ = descriptor()
    counter: Any = type_.build(type_.config(path=str(tmp_path)), FakeContext("tiktoken"))
    assert counter.folders == [tmp_path]
    assert counter.vocabularies == bundled()
    counter.executor.shutdown()


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("model", "text", "count"),
    [
        ("gpt-4o", "hello world", 2),
        ("gpt-4", "hello world", 2),
        ("gpt-4", "tiktoken is great!", 6),
        ("gpt-4o", "<|endoftext|>", 7),
    ],
)
def test_the_published_vocabularies_count_as_published(model: str, text: str, count: int) -> None:
    if not RECORDED.is_dir():
        assert not os.environ.get("LLMROUTER_REQUIRE_RECORDINGS"), f"{RECORDED} is missing"
        pytest.skip("recorded traffic is not beside this checkout")
    counter = TiktokenCounter(bundled(), [RECORDED], log, Inline())
    assert counter.count(text, model) == count
