"""Names: under which attribute the many conventions keep a token count, and what their figures mean.

Seen: GenAI semantic conventions 1.27 to 1.40 and what came before them (`gen_ai.usage.prompt_tokens`, `llm.usage.*`),
OpenInference, the AI SDK (`ai.usage.*`), and the agents' own: Claude Code 2.1, Gemini CLI 0.61, Qwen Code 0.15 to 0.24,
Codex 0.169, Copilot CLI 1.0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agentmon.collect.intake.otlp_records import Scalar

_INPUT = (
    "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens",
    "llm.usage.input_tokens", "ai.usage.inputTokens", "ai.usage.promptTokens",
)  # fmt: skip
_OUTPUT = (
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
    "llm.usage.completion_tokens", "llm.usage.output_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens",
)  # fmt: skip
_TOTAL = ("gen_ai.usage.total_tokens", "llm.token_count.total", "llm.usage.total_tokens", "ai.usage.totalTokens")
_CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.cached_input_tokens", "gen_ai.usage.prompt_tokens_details.cached_tokens",
    "gen_ai.usage.cache_read_tokens", "gen_ai.usage.details.cache_read_tokens", "gen_ai.usage.details.cached_tokens",
    "llm.token_count.prompt_details.cache_read", "llm.usage.cache_read_input_tokens", "ai.usage.cachedInputTokens",
)  # fmt: skip
_CACHE_WRITE = (
    "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_tokens",
    "gen_ai.usage.details.cache_write_tokens", "llm.token_count.prompt_details.cache_write",
    "llm.usage.cache_creation_input_tokens",
)  # fmt: skip
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.completion_tokens_details.reasoning_tokens", "gen_ai.usage.details.reasoning_tokens",
    "llm.token_count.completion_details.reasoning", "llm.usage.reasoning_tokens", "ai.usage.reasoningTokens",
    "codex.usage.reasoning_output_tokens",
)  # fmt: skip
_COST = ("gen_ai.usage.cost", "gen_ai.usage.cost_usd", "llm.cost.total", "operation.cost", "cost_usd")
_MODEL = (
    "gen_ai.response.model", "llm.response.model_name", "llm.model_name", "ai.response.model", "gen_ai.request.model",
    "llm.request.model_name", "llm.request.model", "ai.model.id", "model", "model_name",
)  # fmt: skip
_CALL_ID = ("gen_ai.response.id", "ai.response.id", "response_id", "request_id", "llm.response.id")
_SESSION = ("session.id", "conversation.id", "gen_ai.conversation.id")
# An agent's own events have short names, which mean nothing elsewhere.
_OWN_INPUT = (*_INPUT, "input_token_count", "input_tokens")
_OWN_OUTPUT = (*_OUTPUT, "output_token_count", "output_tokens")
_OWN_TOTAL = (*_TOTAL, "total_token_count")
_OWN_CACHE_READ = (*_CACHE_READ, "cached_token_count", "cached_content_token_count", "cache_read_tokens")
_OWN_CACHE_WRITE = (*_CACHE_WRITE, "cache_write_token_count", "cache_creation_tokens")
_OWN_REASONING = (*_REASONING, "reasoning_token_count", "thoughts_token_count")


@dataclass(frozen=True, slots=True)
class Figures:
    """Tokens by the contract's convention: input includes cached tokens, output includes reasoning. cost: dollars."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cost: float | None = None

    @property
    def known(self) -> bool:
        """Whether it tells of tokens at all."""
        return self.input is not None or self.output is not None


def figures(found: Mapping[str, Scalar], *, own: bool = False, excludes_cache: bool = False) -> Figures:
    """What a record's attributes tell of usage. own: a record of an agent's own kind, with short names;
    excludes_cache: its input is without cached tokens, as Anthropic counts."""
    told = Figures(
        count(found, _OWN_INPUT if own else _INPUT), count(found, _OWN_OUTPUT if own else _OUTPUT),
        count(found, _OWN_CACHE_READ if own else _CACHE_READ), count(found, _OWN_CACHE_WRITE if own else _CACHE_WRITE),
        count(found, _OWN_REASONING if own else _REASONING), amount(found, _COST),
    )  # fmt: skip
    total = count(found, _OWN_TOTAL if own else _TOTAL)
    return settled(told, total, count(found, ("tool_token_count",)) if own else None, excludes_cache=excludes_cache)


def settled(told: Figures, total: int | None, tool: int | None, *, excludes_cache: bool) -> Figures:
    """By our convention. A total tells what is inside of what; without it, parts that are more than the whole."""
    inside, outside = told.input, told.output
    if inside is not None:
        cached = (told.cache_read or 0) + (told.cache_write or 0)
        if excludes_cache or cached > inside:
            inside += cached
    if inside is not None and outside is not None:
        reasoning = told.reasoning or 0
        if total is not None and total != inside + outside:
            if total == inside + outside + reasoning:  # Gemini's candidates are without thoughts
                outside += reasoning
            elif tool and total == inside + outside + reasoning + tool:
                inside, outside = inside + tool, outside + reasoning
        elif total is None and reasoning > outside:
            outside += reasoning
    return replace(told, input=inside, output=outside)


def count(found: Mapping[str, Scalar], names: Sequence[str]) -> int | None:
    """The first of these that is a count; some senders write numbers as strings."""
    number = _number(found, names, 1e15)
    return None if number is None else round(number)


def amount(found: Mapping[str, Scalar], names: Sequence[str]) -> float | None:
    """The first of these that is a number."""
    return _number(found, names, 1e9)


def _number(found: Mapping[str, Scalar], names: Sequence[str], below: float) -> float | None:
    for name in names:
        value = found.get(name)
        if value is None or isinstance(value, bool):
            continue
        try:
            number = float(value)
        except ValueError:
            continue
        if math.isfinite(number) and 0 <= number < below:
            return number
    return None


def text(found: Mapping[str, Scalar], names: Sequence[str]) -> str | None:
    """The first of these that says something."""
    for name in names:
        value = found.get(name)
        if isinstance(value, str) and value and value != "None":
            return value[:256]
    return None


def model(found: Mapping[str, Scalar]) -> str | None:
    """The model that answered, or else the one that was asked for."""
    return text(found, _MODEL)


def call_id(found: Mapping[str, Scalar]) -> str | None:
    """The reply's own id."""
    return text(found, _CALL_ID)


def session_id(found: Mapping[str, Scalar]) -> str | None:
    """The session or conversation."""
    return text(found, _SESSION)


def tool_of(service: str | None) -> str | None:
    """The agent behind a resource's service.name, by the name that other sources use."""
    name = (service or "").lower()
    for start, tool in (
        ("claude-code", "claude-code"), ("codex", "codex"), ("gemini-cli", "gemini-cli"), ("qwen-code", "qwen-code"),
        ("github-copilot", "copilot-cli"), ("copilot-cli", "copilot-cli"),
    ):  # fmt: skip
        if name.startswith(start):
            return tool
    return None
