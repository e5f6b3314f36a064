"""Names: what OpenTelemetry's semantic conventions call what we know, now and formerly.

NEW: the GenAI conventions of 2026 (semantic-conventions 1.37 to 1.44, and semantic-conventions-genai, where they moved
to). OLD: the same as they began (1.26), for backends that lag; what those had no name for has the name that
instrumentations of the time used. The process conventions (1.44) have had the names used here since 1.25.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Names:
    """Attribute names that changed. providers: values of `provider` that changed."""

    provider: str
    input_tokens: str
    output_tokens: str
    cache_read: str
    cache_write: str
    reasoning: str
    first_chunk: str
    providers: Mapping[str, str] = field(default_factory=dict)

    def provider_of(self, model: str | None, tool: str | None) -> str | None:
        """The provider by its name in these conventions, as far as model and tool tell it."""
        found = provider_of(model, tool)
        return None if found is None else self.providers.get(found, found)


NEW = Names(
    "gen_ai.provider.name", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.reasoning.output_tokens", "gen_ai.response.time_to_first_chunk",
)  # fmt: skip
OLD = Names(
    "gen_ai.system", "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens",
    "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.reasoning_tokens", "gen_ai.server.time_to_first_token",
    {"x_ai": "xai", "gcp.gemini": "gemini", "gcp.vertex_ai": "vertex_ai", "azure.ai.openai": "az.ai.openai"},
)  # fmt: skip
SEMCONV: Mapping[str, Names] = {"new": NEW, "old": OLD}

# A prefix of the model, as litellm and its kin write it: who serves the model, not who made it.
_SERVED_BY = {
    "openai": "openai", "azure": "azure.ai.openai", "azure_ai": "azure.ai.inference", "anthropic": "anthropic",
    "bedrock": "aws.bedrock", "vertex_ai": "gcp.vertex_ai", "gemini": "gcp.gemini", "groq": "groq",
    "mistral": "mistral_ai", "mistralai": "mistral_ai", "deepseek": "deepseek", "xai": "x_ai", "x-ai": "x_ai",
    "cohere": "cohere", "perplexity": "perplexity", "watsonx": "ibm.watsonx.ai", "moonshot": "moonshot_ai",
}  # fmt: skip
_MADE_BY = tuple(
    (re.compile(pattern), provider)
    for pattern, provider in (
        (r"(us|eu|apac|global|jp|au)\.[a-z]+\.|(anthropic|amazon|meta|cohere|mistral|ai21)\.", "aws.bedrock"),
        (r"claude", "anthropic"),
        (r"gpt-oss", ""),  # anybody serves it
        (r"gpt|chatgpt|o[1-9](\b|-)|text-embedding-|text-davinci|davinci|codex|computer-use", "openai"),
        (r"gemini|text-bison|chat-bison", "gcp.gemini"),
        (r"mistral|mixtral|codestral|ministral|magistral|devstral|pixtral", "mistral_ai"),
        (r"deepseek", "deepseek"),
        (r"grok", "x_ai"),
        (r"command(-|\Z)|c4ai|embed-(english|multilingual)", "cohere"),
        (r"sonar", "perplexity"),
        (r"kimi|moonshot", "moonshot_ai"),
    )
)
_SPOKEN_BY = {"claude-code": "anthropic", "codex": "openai", "gemini-cli": "gcp.gemini"}


def operation_of(model: str | None) -> str:
    """What kind of call it was: only embedding models tell it by their names."""
    return "embeddings" if model is not None and "embed" in model.lower() else "chat"


def provider_of(model: str | None, tool: str | None) -> str | None:
    """The provider by its current name; None where neither model nor tool tell. It is the best knowledge there is, as
    the conventions ask for, and no more: a gateway that serves a model under its maker's name cannot be told."""
    name = (model or "").lower().removeprefix("models/")
    head, slash, rest = name.partition("/")
    while slash:
        if head in _SERVED_BY:
            return _SERVED_BY[head]
        name = rest
        head, slash, rest = name.partition("/")
    for pattern, provider in _MADE_BY:
        if pattern.match(name):
            return provider or None
    return None if model else _SPOKEN_BY.get(tool or "")
