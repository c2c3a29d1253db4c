"""docs/reference/headers.md: one table of what the router reads and writes beside a body."""

from __future__ import annotations

from collections.abc import Mapping

from .markdown import GENERATED, table

HEAD = f"""# Headers

{GENERATED}
"""
HINT = "Recorded with the decision, and there for the policy to read."
REQUESTS: Mapping[str, str] = {
    "authorization": "`Bearer` and a client's key. Client libraries have other places for it, so it is found in "
    "the next three as well, and in `?key=`.",
    "x-api-key": "A client's key.",
    "x-goog-api-key": "A client's key.",
    "api-key": "A client's key.",
    "x-llmrouter-task": "What kind of work this is: a name under `routing.tasks`.",
    "x-llmrouter-budget": "The most this request may be expected to cost, USD. What costs more is rejected.",
    "x-llmrouter-timeout": "Seconds this client is ready to wait; shortens `engine.deadline`.",
    "x-llmrouter-cache": "`no`: neither look nor keep. `refresh`: ask anew, and keep the answer.",
    "x-llmrouter-dry-run": "`1`: answer with the decision and call nobody.",
    "x-llmrouter-trace": "On a stream: end it with a comment that says who served, after how many calls, and "
    "for how much.",
    "x-llmrouter-quality": HINT,
    "x-llmrouter-priority": "Who goes first where requests wait for a limit to pass: `high`, `normal` or `low`; "
    "`normal` where it is not said.",
    "x-llmrouter-tags": HINT,
    "x-llmrouter-phase": HINT,
    "x-llmrouter-session": "The conversation: its requests stay on one endpoint while that is worth it.",
    "x-session-id": "The same, as other clients say it.",
    "session-id": "The same.",
    "x-session-affinity": "The same.",
    "x-claude-code-session-id": "The same.",
    "x-request-timeout": "The same as `x-llmrouter-timeout`, which wins.",
}
ANSWERS: Mapping[str, str] = {
    "x-request-id": "The request's id, in answers, logs and records.",
    "x-llmrouter-provider": "Who served: an id under `providers`.",
    "x-llmrouter-model": "The upstream's own id of the model.",
    "x-llmrouter-account": "The account.",
    "x-llmrouter-attempts": "Upstream calls that were made for this request.",
    "x-llmrouter-reason": "Why it was chosen: a code, and its short phrase.",
    "x-llmrouter-cache": "`hit`, `miss`, `bypass` where the cache was not asked, or `shared` where the same "
    "request was under way and this is its answer, too.",
    "x-llmrouter-queued-ms": "Milliseconds that the request waited for a limit to pass.",
    "x-llmrouter-flaw": "What is wrong with the answer, where no upstream gave a better one.",
    "x-llmrouter-cost": "USD. Not on streams, whose cost is known at their end only: see `x-llmrouter-trace`.",
    "x-llmrouter-dropped": "Hints of the request that the upstream's dialect could not say.",
    "server-timing": "`upstream;dur=`: milliseconds to the first output of the upstream.",
    "retry-after": "Seconds. On an error: when to come back. On an answer: as the upstream said.",
    "x-ratelimit-*": "As the upstream said.",
    "anthropic-ratelimit-*": "As the upstream said.",
    "x-should-retry": "`false` where trying again cannot help: every credential was refused.",
}
BODY = """## In the body

What stands in a header `x-llmrouter-…` may stand in the body instead, as one object that is never forwarded:
`{"llmrouter": {"dry_run": true}}`; with the OpenAI SDK `extra_body={"llmrouter": {"task": "coding"}}`. A header
wins.
"""


def page() -> str:
    head = ("header", "meaning")
    requests = table(head, [(f"`{name}`", words) for name, words in REQUESTS.items()])
    answers = table(head, [(f"`{name}`", words) for name, words in ANSWERS.items()])
    return f"{HEAD}\n## Of requests\n\n{requests}\n{BODY}\n## Of answers\n\n{answers}"
