"""Printed usage objects: whose they are and what they count, told by the name of the class and its keys."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentmon.collect.parsers.literals import Record
from agentmon.events import Scope

_LOOKED = 400


@dataclass(frozen=True, slots=True)
class Shape:
    """An object of this class (None: a plain mapping or any class) that has all of these keys.

    scope: None where the same object is printed for one call and for many; a number of requests tells then.
    """

    name: str | None
    keys: frozenset[str]
    scope: Scope | None
    tool: str | None
    seen_in: str


SHAPES: Sequence[Shape] = (
    Shape("RunUsage", frozenset(), None, "pydantic-ai", "pydantic-ai 2.68.0"),
    Shape("RequestUsage", frozenset({"prompt_tokens"}), None, "autogen", "autogen-core 0.7.5: a client's total, too"),
    Shape("RequestUsage", frozenset({"total_tokens"}), "call", "openai-agents", "openai-agents 0.24.0"),
    Shape("RequestUsage", frozenset(), "call", "pydantic-ai", "pydantic-ai 2.68.0"),
    Shape("UsageMetrics", frozenset(), "session", "crewai", "crewai 1.15.30"),
    Shape("Usage", frozenset({"requests", "request_tokens"}), None, "pydantic-ai", "no capture: older pydantic-ai"),
    Shape("Usage", frozenset({"requests"}), None, "openai-agents", "openai-agents 0.24.0"),
    Shape("RunMetrics", frozenset(), "session", "agno", "agno 3.1.10"),
    Shape("SessionMetrics", frozenset(), "session", "agno", "no capture: older agno"),
    Shape("MessageMetrics", frozenset(), "call", "agno", "agno 3.1.10"),
    Shape("Metrics", frozenset(), None, "agno", "no capture: older agno"),
    Shape("GenerateContentResponseUsageMetadata", frozenset(), "call", None, "no capture: google-genai"),
    Shape("CompletionUsage", frozenset(), "call", None, "openai 3.54.0"),
    Shape("ResponseUsage", frozenset(), "call", None, "openai 3.54.0"),
    Shape("Usage", frozenset(), "call", None, "anthropic 2.12.0, litellm 1.106.2"),
    Shape(None, frozenset({"successful_requests", "prompt_tokens"}), "session", "crewai", "crewai 1.15.30"),
    Shape(None, frozenset({"input_token_details"}), None, "langchain", "langchain 1.4.7"),
    Shape(None, frozenset({"output_token_details"}), None, "langchain", "langchain 1.4.7"),
)


def shape_of(obj: Mapping[str, Any]) -> Shape | None:
    """The first shape that fits."""
    name = obj.name if isinstance(obj, Record) else None
    for shape in SHAPES:
        if (shape.name is None or shape.name == name) and shape.keys <= obj.keys():
            return shape
    return None


def shape_in(value: Any) -> Shape | None:
    """The shape of an object, or else of the first one that it holds."""
    waiting, looked = deque([value]), 0
    while waiting and looked < _LOOKED:
        item = waiting.popleft()
        looked += 1
        if isinstance(item, Mapping):
            if (shape := shape_of(item)) is not None:
                return shape
            waiting.extend(v for v in item.values() if isinstance(v, Mapping | list))
        elif isinstance(item, list):
            waiting.extend(v for v in item if isinstance(v, Mapping | list))
    return None
