"""The clients: what is installed of each, and what keeps it from talking to anybody but the router.

How a client is configured and run stands in its page, docs/how-to/clients/<name>.md, and is read from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen


@frozen(kw_only=True)
class Recipe:
    """`ways`: the wires it can speak, and what is changed in the page's blocks for each; the page says so too."""

    name: str
    source: Literal["npm", "pip"]
    package: str
    version: str
    program: str
    ways: Mapping[str, Mapping[str, str]]
    env: Mapping[str, str] = field(factory=dict)


QUIET: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "DISABLE_TELEMETRY": "1",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
}

RECIPES = (
    Recipe(
        name="aider",
        source="pip",
        package="aider-chat",
        version="0.86.2",
        program="aider",
        ways={"chat": {}},
        env={
            "AIDER_CHECK_UPDATE": "false",
            "AIDER_ANALYTICS_DISABLE": "true",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
    ),
    Recipe(
        name="claude-code",
        source="npm",
        package="@anthropic-ai/claude-code",
        version="2.1.332",
        program="claude",
        ways={"messages": {}},
        env={"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"},
    ),
    Recipe(
        name="cline",
        source="npm",
        package="cline",
        version="3.0.65",
        program="cline",
        ways={"chat": {}, "responses": {"openai-compatible": "openai-native"}},
        env={"CLINE_SESSION_BACKEND_MODE": "local"},
    ),
    Recipe(
        name="codex",
        source="npm",
        package="@openai/codex",
        version="0.171.0",
        program="codex",
        ways={"responses": {}},
    ),
    Recipe(
        name="continue",
        source="npm",
        package="@continuedev/cli",
        version="1.5.47",
        program="cn",
        ways={"chat": {}, "messages": {"provider: openai": "provider: anthropic", "4000/v1": "4000/v1/"}},
        env={"CONTINUE_METRICS_ENABLED": "0", "CONTINUE_CLI_ENABLE_TELEMETRY": "0"},
    ),
    Recipe(
        name="droid",
        source="npm",
        package="droid",
        version="0.215.0",
        program="droid",
        ways={
            "chat": {},
            "responses": {"generic-chat-completion-api": "openai"},
            "messages": {"generic-chat-completion-api": "anthropic", "4000/v1": "4000"},
        },
        env={"FACTORY_AIRGAP_ENABLED": "true", "FACTORY_DROID_AUTO_UPDATE_ENABLED": "false"},
    ),
    Recipe(
        name="gemini-cli",
        source="npm",
        package="@google/gemini-cli",
        version="0.61.0",
        program="gemini",
        ways={"gemini": {}},
    ),
    Recipe(
        name="llm",
        source="pip",
        package="llm",
        version="0.36",
        program="llm",
        ways={"chat": {}},
    ),
    Recipe(
        name="opencode",
        source="npm",
        package="opencode-ai",
        version="1.18.33",
        program="opencode",
        ways={
            "chat": {},
            "responses": {"@ai-sdk/openai-compatible": "@ai-sdk/openai"},
            "messages": {"@ai-sdk/openai-compatible": "@ai-sdk/anthropic"},
            "gemini": {"@ai-sdk/openai-compatible": "@ai-sdk/google"},
        },
        env={"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
    ),
    Recipe(
        name="qwen-code",
        source="npm",
        package="@qwen-code/qwen-code",
        version="0.24.4",
        program="qwen",
        ways={"chat": {}},
        env={"QWEN_USAGE_STATISTICS_ENABLED": "false"},
    ),
)
