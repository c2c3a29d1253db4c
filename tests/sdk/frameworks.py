"""How each framework is pointed at a router, asked, and given a tool. Nothing here is known to the type checker:
the frameworks are installed by `make test-clients` only."""

from __future__ import annotations

import asyncio
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

Shell = Callable[[str], str]
MODEL = "auto"
QUIET: Mapping[str, str] = {
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}


@frozen
class Framework(ABC):
    """One wire of one framework; `address` of a call is the router's, without a path."""

    wire: str

    @abstractmethod
    def plain(self, address: str, question: str) -> str:
        """The whole answer."""

    @abstractmethod
    def stream(self, address: str, question: str) -> list[str]:
        """The pieces of a streamed answer."""

    @abstractmethod
    def tool(self, address: str, question: str, shell: Shell) -> str:
        """The answer after the framework has run the tool that the model called."""


@frozen
class LangChain(Framework):
    def _chat(self, address: str) -> Any:
        if self.wire == "messages":
            cls = importlib.import_module("langchain_anthropic").ChatAnthropic
            return cls(model=MODEL, base_url=address, api_key="any", max_retries=0)
        cls = importlib.import_module("langchain_openai").ChatOpenAI
        responses = self.wire == "responses"
        return cls(model=MODEL, base_url=f"{address}/v1", api_key="any", max_retries=0, use_responses_api=responses)

    def plain(self, address: str, question: str) -> str:
        return str(self._chat(address).invoke(question).text)

    def stream(self, address: str, question: str) -> list[str]:
        return [chunk.text for chunk in self._chat(address).stream(question)]

    def tool(self, address: str, question: str, shell: Shell) -> str:
        tool = importlib.import_module("langchain_core.tools").tool(shell)
        messages = importlib.import_module("langchain_core.messages")
        chat = self._chat(address).bind_tools([tool])
        said = [messages.HumanMessage(question), chat.invoke(question)]
        said += [tool.invoke(call) for call in said[-1].tool_calls]
        return str(chat.invoke(said).text)


@frozen
class LiteLLM(Framework):
    def _ask(self, address: str, messages: list[Any], **more: Any) -> Any:
        litellm = importlib.import_module("litellm")
        prefix, base = {"chat": ("openai", f"{address}/v1"), "messages": ("anthropic", address)}[self.wire]
        return litellm.completion(
            model=f"{prefix}/{MODEL}", api_base=base, api_key="any", messages=messages, num_retries=0, **more
        )

    def plain(self, address: str, question: str) -> str:
        answer = self._ask(address, [{"role": "user", "content": question}])
        return str(answer.choices[0].message.content)

    def stream(self, address: str, question: str) -> list[str]:
        chunks = self._ask(address, [{"role": "user", "content": question}], stream=True)
        return [chunk.choices[0].delta.content or "" for chunk in chunks]

    def tool(self, address: str, question: str, shell: Shell) -> str:
        schema = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
        function = {"name": "shell", "description": "Run a command.", "parameters": schema}
        tools = [{"type": "function", "function": function}]
        messages: list[Any] = [{"role": "user", "content": question}]
        messages.append(self._ask(address, messages, tools=tools).choices[0].message)
        for call in messages[-1].tool_calls:
            output = shell(call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
        return str(self._ask(address, messages, tools=tools).choices[0].message.content)


@frozen
class PydanticAI(Framework):
    """A client is made for each question, for it belongs to the loop that it was first used in."""

    def plain(self, address: str, question: str) -> str:
        return asyncio.run(self._run(address, question))

    def stream(self, address: str, question: str) -> list[str]:
        return asyncio.run(self._streamed(address, question))

    def tool(self, address: str, question: str, shell: Shell) -> str:
        return asyncio.run(self._run(address, question, shell))

    async def _run(self, address: str, question: str, *tools: Shell) -> str:
        async with self._client(address) as client:
            return str((await self._agent(client, *tools).run(question)).output)

    async def _streamed(self, address: str, question: str) -> list[str]:
        async with self._client(address) as client, self._agent(client).run_stream(question) as answer:
            return [piece async for piece in answer.stream_text(delta=True, debounce_by=None)]

    def _client(self, address: str) -> Any:
        if self.wire == "messages":
            return importlib.import_module("anthropic").AsyncAnthropic(
                base_url=address, api_key="any", max_retries=0
            )
        return importlib.import_module("openai").AsyncOpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)

    def _agent(self, client: Any, *tools: Shell) -> Any:
        vendor, model, provider = {
            "chat": ("openai", "OpenAIChatModel", "OpenAIProvider"),
            "responses": ("openai", "OpenAIResponsesModel", "OpenAIProvider"),
            "messages": ("anthropic", "AnthropicModel", "AnthropicProvider"),
        }[self.wire]
        models = importlib.import_module(f"pydantic_ai.models.{vendor}")
        providers = importlib.import_module(f"pydantic_ai.providers.{vendor}")
        through = getattr(providers, provider)(**{f"{vendor}_client": client})
        agent = importlib.import_module("pydantic_ai").Agent
        return agent(getattr(models, model)(MODEL, provider=through), tools=tools)


@frozen
class OpenAIAgents(Framework):
    """A client is made for each question, for it belongs to the loop that it was first used in."""

    def plain(self, address: str, question: str) -> str:
        return asyncio.run(self._run(address, question))

    def stream(self, address: str, question: str) -> list[str]:
        return asyncio.run(self._streamed(address, question))

    def tool(self, address: str, question: str, shell: Shell) -> str:
        return asyncio.run(self._run(address, question, importlib.import_module("agents").function_tool(shell)))

    async def _run(self, address: str, question: str, *tools: Any) -> str:
        agents = importlib.import_module("agents")
        async with self._client(address) as client:
            return str((await agents.Runner.run(self._agent(client, *tools), question)).final_output)

    async def _streamed(self, address: str, question: str) -> list[str]:
        agents = importlib.import_module("agents")
        async with self._client(address) as client:
            events = agents.Runner.run_streamed(self._agent(client), question).stream_events()
            raw = [event.data async for event in events if event.type == "raw_response_event"]
        return [one.delta for one in raw if one.type == "response.output_text.delta"]

    def _client(self, address: str) -> Any:
        openai = importlib.import_module("openai")
        return openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)

    def _agent(self, client: Any, *tools: Any) -> Any:
        agents = importlib.import_module("agents")
        cls = {"chat": "OpenAIChatCompletionsModel", "responses": "OpenAIResponsesModel"}[self.wire]
        return agents.Agent(name="Reader", model=getattr(agents, cls)(MODEL, client), tools=list(tools))


FRAMEWORKS: Sequence[tuple[str, Framework]] = (
    ("langchain_openai", LangChain("chat")),
    ("langchain_openai", LangChain("responses")),
    ("langchain_anthropic", LangChain("messages")),
    ("litellm", LiteLLM("chat")),
    ("litellm", LiteLLM("messages")),
    ("pydantic_ai", PydanticAI("chat")),
    ("pydantic_ai", PydanticAI("responses")),
    ("pydantic_ai", PydanticAI("messages")),
    ("agents", OpenAIAgents("chat")),
    ("agents", OpenAIAgents("responses")),
)
"""With the module that has to be installed."""
