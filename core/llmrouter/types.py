"""The values that pass between the rooms.

What is made for a request is a `Value` (a frozen msgspec struct: ten times cheaper to make than attrs,
and it encodes into the record as it is). What is made once, with the configuration, is `attrs.frozen`.
A decision and a record are data through and through: nothing in them that does not survive JSON.

Units: tokens, USD, USD per million tokens, seconds. Times are seconds since the epoch on the router's
own clock, which never runs backwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from attrs import Factory, frozen
from attrs import field as attrs_field
from msgspec import field

Fields = dict[str, msgspec.Raw]
"""A JSON body opened one level deep: names to raw bytes, so that untouched values stay as they came."""

Op = Literal["chat", "embed", "rerank", "count"]


class Value(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Base of what is made per request; unions of values decode by their tag.

    A value cannot be part of a cycle, so the garbage collector need not visit it.
    """


# --- what came in


class Wire(Value, frozen=True):
    """A dialect in one of its two shapes: one body, or a stream of events."""

    dialect: str
    stream: bool


class Facts(Value, frozen=True, kw_only=True):
    """All that routing may know of a request. Recorded as it is: no prompt text, enough to decide again."""

    id: str = ""
    at: float = 0.0
    client: str = ""  # the client key's name
    op: Op = "chat"
    wire: Wire
    asked: str  # the model name as sent
    fallbacks: tuple[str, ...] = ()  # further names, to be tried in their order
    hints: Mapping[str, str] = field(default_factory=dict)  # task, quality, budget, …
    needs: frozenset[str] = frozenset()  # what must be expressible: tools, vision, json_schema, logprobs, n
    input_tokens: int = 0
    max_output: int | None = None
    session: str | None = None
    in_tool_loop: bool = False
    signals: Mapping[str, float | str] = field(default_factory=dict)  # what analysers found, by name
    replayable: bool = False  # the same request may be answered from a recording


class Request(Value, frozen=True):
    """A request at the door: what routing may know, and the client's own body."""

    facts: Facts
    fields: Fields
    headers: Mapping[str, str] = field(default_factory=dict)  # lower case; those its dialect lets through


# --- where it may go


@frozen
class Account:
    """One credential of a provider. Accounts of one quota group share their limits upstream."""

    id: str
    group: str
    weight: float = 1.0


@frozen(kw_only=True)
class Tier:
    """USD per million tokens of a request whose prompt has at least `prompt` tokens: of all its tokens."""

    prompt: int
    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None


@frozen(kw_only=True)
class Price:
    """USD per million tokens; `request` is USD per request, `web_search` per search. Zero is a price."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None  # kept for five minutes
    cache_write_1h: float | None = None
    request: float = 0.0
    web_search: float = 0.0
    tiers: tuple[Tier, ...] = ()  # of longer prompts


@frozen(kw_only=True)
class Card:
    """What is known of a model. None is unknown: it excludes nothing, and as a price it is the dearest."""

    abilities: frozenset[str] | None = None
    window: int | None = None  # tokens, input and output together
    max_output: int | None = None  # tokens
    price: Price | None = None
    quality: float = 0.5  # 0…1
    keeps: frozenset[str] = frozenset()  # dialects in which it wants vendor tokens of earlier turns back


ANY_MODEL = "*"
"""The model of an endpoint that stands for every other id its provider may serve."""


@frozen(kw_only=True)
class Endpoint:
    """A provider's model: built with the configuration, the same object for every request."""

    provider: str
    model: str  # the upstream's own id
    dialects: tuple[str, ...]  # spoken for this model, best first
    accounts: tuple[Account, ...]  # interchangeable: one price, one set of abilities
    card: Card = Card()
    ops: frozenset[Op] | None = None  # None: all that its dialects have
    id: str = attrs_field(  # "provider/model", made once: it is asked for a dozen times in a request
        init=False, eq=False, repr=False, default=Factory(lambda it: f"{it.provider}/{it.model}", takes_self=True)
    )


class Hold(Value, frozen=True):
    """Not now: breaker, cool-down, quarantine, used-up quota and an operator's `disable` alike."""

    until: float
    reason: str  # disabled, limit, cooling, breaker, auth, payment
    scope: str


class Candidate(Value, frozen=True, kw_only=True):
    """An endpoint as one request sees it: all that a policy looks at, and all of it data."""

    endpoint: str  # "provider/model"
    provider: str
    model: str
    wire: Wire  # how it will be spoken to: the client's own dialect where possible
    tier: int = 0  # 0 is tried first; a policy orders inside a tier
    weight: float = 1.0  # share of the tier's traffic
    window: int | None = None
    cost: float | None = None  # expected USD of this request; None counts as the dearest
    quality: float = 0.5  # 0…1, for this task
    ttft: float = 0.0  # seconds to the first output, expected; 0 is unknown
    headroom: float = 1.0  # 0…1, of its best account
    load: int = 0  # requests in flight here, from this process
    turns: int = 0  # requests that began here, in this process
    cached_tokens: int = 0  # of this session, in the provider's prompt cache
    hold: Hold | None = None  # set when every account is held: the earliest end


class Ranked(Value, frozen=True):
    """A candidate in its place. `score` is 0…1, `parts` says what it is made of."""

    candidate: Candidate
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)


class Rejected(Value, frozen=True):
    """An endpoint that can never serve this request."""

    endpoint: str
    reason: str  # ability, context, price, budget, terms, policy
    detail: str = ""


class Decision(Value, frozen=True, kw_only=True):
    """The plan and what it was made from. Ranking the recorded candidates again gives the same plan."""

    facts: Facts
    plan: tuple[Ranked, ...]  # in the order they will be tried; held ones last
    rejected: tuple[Rejected, ...]
    policy: str
    draw: float  # the one random number a decision may use, in [0, 1)
    reason: str = "default"  # a reason code: why the first of the plan is first
    confidence: float = 1.0
    revision: str = ""  # of the configuration


# --- quota

Unit = Literal["requests", "tokens", "input_tokens", "output_tokens", "usd", "concurrent"]


class Bucket(Value, frozen=True, cache_hash=True):
    """One limit. `window` is "minute", "5h", "day America/Los_Angeles"; "" for `concurrent`."""

    scope: str  # "group:project-a/some-model", "client:dev"
    unit: Unit
    limit: float
    window: str


class Ask(Value, frozen=True):
    """An amount wanted from a bucket."""

    bucket: Bucket
    amount: float


class Granted(Value, frozen=True):
    """Slices of buckets, one per ask and at least as large: to be spent within `ttl` seconds."""

    amounts: tuple[float, ...]
    ttl: float


class Exhausted(Value, frozen=True):
    """A bucket that cannot give what was asked before `retry_at`."""

    bucket: Bucket
    retry_at: float


class Sighting(Value, frozen=True, kw_only=True):
    """A limit as the provider states it: truth that corrects our count."""

    scope: str
    unit: Unit
    window: str
    limit: float | None = None
    remaining: float | None = None
    resets_at: float | None = None
    models: str = "*"  # a pattern of the models that it is about, where no call says which


class Allowance(Value, frozen=True, kw_only=True):
    """What an account has left, as its provider tells without a call. `balance` is in USD; None is not known."""

    sightings: tuple[Sighting, ...] = ()
    balance: float | None = None


# --- what comes back


class Usage(Value, frozen=True, kw_only=True):
    """Tokens in exclusive buckets (their sum is the total); `cost` is what the provider reports, USD."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0  # kept for five minutes, or as long as the vendor likes
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    searches: int = 0  # billed ones, each at the price of a request or of a web search
    cost: float | None = None
    own_key: bool | None = None  # whether the vendor billed a key of the customer's own, where that is told

    @property
    def prompt(self) -> int:
        """All tokens that went in."""
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h

    @property
    def completion(self) -> int:
        """All tokens that came out."""
        return self.output + self.reasoning


Scope = Literal["request", "account_model", "account", "endpoint", "provider"]

Kind = Literal[
    "rate_limited", "quota_exhausted", "overloaded", "server_error", "connect", "timeout_headers",
    "timeout_ttft", "stall", "truncated", "malformed_chunk", "auth", "payment", "forbidden_model", "not_found",
    "context_length", "content_filter", "invalid_request", "degraded", "diverged", "lost", "cancelled", "internal",
]  # fmt: skip


class Failure(Value, frozen=True, kw_only=True):
    """What went wrong with one call. `status` is the upstream's, `retry_at` its hint."""

    kind: Kind
    scope: Scope
    message: str = ""
    status: int | None = None
    retry_at: float | None = None
    code: str = ""  # the upstream's own name for it
    param: str | None = None  # the field at fault, where the upstream names one
    then: Literal["next", "larger_window", "stop"] | None = None  # an operator's word; None: as the class says
    hold: float | None = None  # the same, seconds
    by: str = ""  # who said so: "rule 2" of the configuration, "provider", "status", "transport", "answer", …


class Verdict(Value, frozen=True):
    """What a provider reads off the head of an answer, or off an error inside one."""

    failure: Failure | None
    sightings: tuple[Sighting, ...] = ()


class Begin(Value, frozen=True):
    """An answer has begun. `via` is who serves it behind the provider, where the provider says so."""

    id: str
    model: str
    via: str = ""


class Text(Value, frozen=True):
    text: str


class Thought(Value, frozen=True):
    """What a model thought. A signature is its vendor's: nobody else can read it, and the vendor may want it back.

    `source` is the dialect that a signature belongs to; of an event it is the frame's. A redacted thought has
    no text: all of it is in the signature. An event that has a signature and no text signs the thought before it.
    """

    text: str
    signature: str = ""
    source: str = ""
    redacted: bool = False


class ToolStart(Value, frozen=True):
    """A call of a tool begins. `signature` is as that of a thought."""

    id: str
    name: str
    signature: str = ""


class ToolArgs(Value, frozen=True):
    id: str
    json: str  # a fragment


class Refusal(Value, frozen=True):
    text: str


class Result(Value, frozen=True):
    """The whole answer of an operation that is not a conversation."""

    value: Any


class Keep(Value, frozen=True):
    """What a later request will refer to by name: a signature, a whole response."""

    name: str
    value: bytes
    ttl: float = 3600.0  # seconds


class Spent(Value, frozen=True):
    usage: Usage


class Finish(Value, frozen=True):
    reason: Literal["stop", "length", "tool_calls", "content_filter"]


class Fault(Value, frozen=True):
    """An error inside a good status, or a body that is not what its dialect promises."""

    body: bytes
    malformed: bool = False


Event = Begin | Text | Thought | ToolStart | ToolArgs | Refusal | Result | Keep | Spent | Finish | Fault

OUTPUT = (Text, Thought, ToolStart, ToolArgs, Refusal, Result)
"""Events that are generated output: the first of them written to a client is the commit point."""


class Frame(Value, frozen=True):
    """One event of a stream, or one whole body: the bytes as they came and what they mean."""

    wire: Wire
    raw: bytes
    events: tuple[Event, ...]


# --- carrying it


class Call(Value, frozen=True, kw_only=True):
    """What a provider is asked to carry; the body is finished but for this vendor's deviations."""

    endpoint: Endpoint
    account: Account
    op: Op
    wire: Wire
    fields: Fields
    headers: Mapping[str, str] = field(default_factory=dict)  # of the client, those its dialect lets through
    timeout: float = 30.0  # seconds to the headers


Role = Literal["turn", "repeat", "hedge", "probe", "rescue"]
"""Why a call was made: its turn came, once more, against a silence, is it well again, to go on for another."""


class Attempt(Value, frozen=True, kw_only=True):
    """A call that was made. `flaw` is what was wrong with an answer that was given all the same."""

    endpoint: str
    account: str
    started: float
    first_output: float | None
    ended: float
    failure: Failure | None  # None: it served the answer
    usage: Usage
    cost: float | None  # USD; None: no price is known
    estimated: bool = False  # no usage was reported, so the cost is what was expected of the whole answer
    via: str = ""  # who served it behind the provider, where the provider says so
    role: Role = "turn"
    flaw: Failure | None = None
    repaired: str = ""  # what was mended: "json", "arguments" or "calls"


class Skip(Value, frozen=True, kw_only=True):
    """A turn that came and was not called: never merged with a failed attempt."""

    endpoint: str
    account: str
    reason: str
    until: float | None = None


Step = Attempt | Skip


class Trouble(Value, frozen=True, kw_only=True):
    """What a client is told when its request fails; each dialect writes it in its own envelope."""

    status: int
    kind: Kind
    code: str
    message: str
    param: str | None = None
    retry_after: float | None = None  # seconds
    request_id: str = ""
    steps: tuple[Step, ...] = ()


Outcome = Literal["complete", "refused", "broken", "cancelled"]


class RequestRecord(Value, frozen=True, kw_only=True):
    """All that happened to one request: what sinks receive, once."""

    facts: Facts
    decision: Decision | None  # None: the cache answered
    steps: tuple[Step, ...]
    outcome: Outcome
    status: int  # HTTP status the client saw; 499 when it left before one
    cache: Literal["hit", "miss", "bypass", "shared"]
    usage: Usage  # of the attempt that served
    cost: float | None  # USD, of all attempts; None: one of them has no known price
    dropped: tuple[str, ...] = ()
    first_output: float | None = None
    ended: float = 0.0
    queued: float = 0.0  # seconds spent waiting for a limit to pass
    shared: str = ""  # the id of the request whose answer this is, too


# --- what a body means, one type per operation


class Image(Value, frozen=True):
    url: str  # http(s) or data:
    detail: str = ""


class File(Value, frozen=True):
    """A document or a sound. Its media type stands in a `data:` URL."""

    url: str  # http(s) or data:
    name: str = ""


class ToolCall(Value, frozen=True):
    id: str
    name: str
    arguments: str  # JSON, as text
    signature: str = ""  # with its `source`, as that of a thought
    source: str = ""


class ToolOutput(Value, frozen=True):
    id: str
    content: tuple[Text | Image | File, ...]
    error: bool = False


class CacheMark(Value, frozen=True):
    """Everything up to here may be kept in the vendor's prompt cache: "5m", "1h", "" where it says no time."""

    ttl: str = ""


Part = Text | Image | File | Thought | ToolCall | ToolOutput | Refusal | CacheMark


class Message(Value, frozen=True):
    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]


class Conversation(Value, frozen=True, kw_only=True):
    """A chat as every dialect can say it: the hub of translation.

    A tool has `name`, `description`, `parameters` (JSON Schema) and `strict`, and `cache` where it is marked as
    a `CacheMark` marks a part.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str = "auto"  # auto, none, required, or a tool's name
    options: Mapping[str, Any] = field(default_factory=dict)  # sampling, limits, format, effort: canonical names


class Inputs(Value, frozen=True):
    """What is to be embedded: texts, or token ids."""

    texts: tuple[str | tuple[int, ...], ...]
    options: Mapping[str, Any] = field(default_factory=dict)


class Documents(Value, frozen=True):
    """What is to be ranked against a query."""

    query: str
    documents: tuple[str, ...]
    top: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


Payload = Conversation | Inputs | Documents


class Encoded(Value, frozen=True):
    """A payload in another dialect, and the names of the hints that could not be said in it.

    `renamed` are tools whose names had to be changed: what the upstream is told → what the client says.
    """

    fields: Fields
    dropped: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
