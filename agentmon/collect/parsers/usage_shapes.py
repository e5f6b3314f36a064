"""Usage shapes: what the keys of a usage object are called, and what its figures include.

One table of names for every dialect: a usage object of an unknown tool is read by the names of its keys. Names are
compared without case and punctuation (`cacheReadInputTokens` is `cache_read_input_tokens`). Seen in: Anthropic
Messages and Claude Code 1.0 to 2.1, OpenAI chat and responses, Gemini API and CLI 0.61, Qwen Code 0.15, Codex 0.169,
opencode 1.18, pi 0.73, LangChain 1, LiteLLM, CrewAI, agno 2, pydantic-ai 1, AI SDK 5, Bedrock Converse, Ollama,
OpenTelemetry's `gen_ai.usage.*`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MOST_KEYS = 64  # objects with more keys are no records
LARGEST = 10**12  # more tokens than any account has used: such a number is an id or a time


@dataclass(frozen=True, slots=True)
class Counts:
    """Figures of one usage object, converted to the convention: input includes cache, output includes reasoning."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cost: float | None = None

    @property
    def nothing(self) -> bool:
        """Whether every figure is unknown or zero: a placeholder, no usage."""
        return not (self.input or self.output or self.total)


_ROLES: Mapping[str, tuple[str, ...]] = {
    "input": (
        "inputtokens", "prompttokens", "prompttokencount", "inputtokencount", "inputtokenscount", "totalinputtokens",
        "totalprompttokens", "genaiusageinputtokens", "genaiusageprompttokens", "llmtokencountprompt",
        "requesttokens", "promptevalcount", "tokensinput", "tokensin", "inputtoken", "prompttoken",
        "numinputtokens", "numprompttokens", "tokensprompt", "tokenspromptcount",
        "tokenssent", "promptllmtokencount",
    ),
    "output": (
        "outputtokens", "completiontokens", "candidatestokencount", "outputtokencount", "outputtokenscount",
        "totaloutputtokens", "totalcompletiontokens", "genaiusageoutputtokens", "genaiusagecompletiontokens",
        "llmtokencountcompletion", "responsetokens", "responsetokencount", "evalcount", "tokensoutput", "tokensout",
        "generatedtokens", "outputtoken", "completiontoken", "numoutputtokens", "numcompletiontokens",
        "tokenscompletion", "tokensreceived", "completionllmtokencount",
    ),
    "total": (
        "totaltokens", "totaltokencount", "totaltokenscount", "tokenstotal", "llmtokencounttotal", "totaltokensused",
        "totaltoken", "llmusagetotaltokens", "genaiusagetotaltokens",
    ),
    "cache_read": (
        "cachereadinputtokens", "cachedinputtokens", "cachedtokens", "cachereadtokens", "cachedcontenttokencount",
        "cachedprompttokens", "promptcachehittokens", "cachereadinputtokencount", "cachedtokencount", "cacheread",
        "inputcachedtokens", "cachereadtokencount", "genaiusagecachereadinputtokens", "cachetokens",
        "cachehittokens", "inputcacheread", "totalcachereadtokens", "totalcachedtokens", "cachereads",
    ),
    "cache_write": (
        "cachecreationinputtokens", "cachewriteinputtokens", "cachewritetokens", "cachecreationtokens", "cachewrite",
        "cachewriteinputtokencount", "genaiusagecachecreationinputtokens", "genaiusagecachewriteinputtokens",
        "inputcachecreation",
        "cachecreationtokencount",
        "totalcachewritetokens", "totalcachecreationtokens",
        "cachewrites",
    ),
    "reasoning": (
        "reasoningtokens", "reasoningoutputtokens", "thoughtstokencount", "thinkingtokens", "thoughttokens",
        "outputreasoningtokens", "genaiusagereasoningoutputtokens", "genaiusagereasoningtokens", "reasoningtokencount",
        "totalreasoningtokens", "thoughtstokens", "totalthoughttokens",
    ),
    "tool": ("tooluseprompttokencount", "totaltoolusetokens"),
}  # fmt: skip
_SHORT_ROLES: Mapping[str, tuple[str, ...]] = {  # only inside an object that is called tokens, usage or the like
    "input": ("prompt", "input", "inputs", "in"),
    "output": ("candidates", "output", "completion", "outputs", "out", "response"),
    "total": ("total",),
    "cache_read": ("cached", "cachehit"),
    "reasoning": ("thoughts", "reasoning", "thinking"),
    "tool": ("tool",),
}
_INPUT_PARTS: Mapping[str, str] = {
    "cachedtokens": "cache_read", "cacheread": "cache_read", "cachereadtokens": "cache_read", "cached": "cache_read",
    "cachereadinputtokens": "cache_read", "cachewritetokens": "cache_write", "cachecreation": "cache_write",
    "cachewrite": "cache_write", "cachecreationtokens": "cache_write", "cachecreationinputtokens": "cache_write",
}  # fmt: skip
_OUTPUT_PARTS: Mapping[str, str] = {
    "reasoningtokens": "reasoning", "reasoning": "reasoning", "thinkingtokens": "reasoning", "thoughts": "reasoning",
    "thoughtstokens": "reasoning",
}  # fmt: skip
_DETAILS: Mapping[str, Mapping[str, str]] = {  # objects of parts within a usage object
    "inputtokensdetails": _INPUT_PARTS, "inputtokendetails": _INPUT_PARTS,
    "prompttokensdetails": _INPUT_PARTS, "prompttokendetails": _INPUT_PARTS,
    "outputtokensdetails": _OUTPUT_PARTS, "outputtokendetails": _OUTPUT_PARTS,
    "completiontokensdetails": _OUTPUT_PARTS, "completiontokendetails": _OUTPUT_PARTS,
    "cache": {"read": "cache_read", "write": "cache_write", "creation": "cache_write"},
}  # fmt: skip
_WRITTEN_BY_AGE = frozenset({"ephemeral5minputtokens", "ephemeral1hinputtokens"})  # langchain-anthropic 1.7.7
_EXCLUDES_CACHE = frozenset(  # beside these, unless arithmetic says otherwise, the input figure is without cache
    {
        "cachereadinputtokens",
        "cachecreationinputtokens",
        "cacheread",
        "cachewrite",
        "cache",
        "cachereads",
        "cachewrites",
    }
)
_INCLUDES_CACHE = frozenset({"prompttokens", "prompttokencount", "prompt", "totalprompttokens"})  # and these never
_EXCLUDES_REASONING = frozenset({"candidatestokencount", "candidates", "responsetokencount", "cache"})
_COSTS = ("costusd", "responsecost", "cost", "totalcostusd", "totalcost", "estimatedcostusd", "accumulatedcost")

_LONG = {name: role for role, names in _ROLES.items() for name in names} | {  # a part beside full names is clear
    name: role for role in ("cache_read", "reasoning") for name in _SHORT_ROLES[role]
}
_SHORT = {name: role for role, names in _SHORT_ROLES.items() for name in names} | _LONG
_RANK = {name: i for names in _ROLES.values() for i, name in enumerate(names)} | {
    name: 100 + i for names in _SHORT_ROLES.values() for i, name in enumerate(names)
}
_PUNCTUATION = re.compile(r"[^a-z0-9]+")


@lru_cache(maxsize=4096)
def plain(key: str) -> str:
    """A key without case and punctuation."""
    return _PUNCTUATION.sub("", key[:64].lower())


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a set of keys means. Records of one tool repeat a few of them millions of times."""

    roles: tuple[tuple[str, str, str], ...]
    short_roles: tuple[tuple[str, str, str], ...]
    details: tuple[tuple[str, str], ...]
    costs: tuple[tuple[str, int], ...]
    progress: bool  # Claude Code 2.1 tells how large a sub-agent's context is, beside its count of tool uses


def _read_shape(keys: tuple[str, ...]) -> _Shape:
    names = [(key, plain(key)) for key in keys]
    short = any(name in ("cacheread", "cachewrite") for _, name in names)
    short_roles = tuple((key, name, role) for key, name in names if (role := _SHORT.get(name)) is not None)
    return _Shape(
        short_roles
        if short
        else tuple((key, name, role) for key, name in names if (role := _LONG.get(name)) is not None),
        short_roles,
        tuple((key, name) for key, name in names if name in _DETAILS),
        tuple((key, _COSTS.index(name)) for key, name in names if name in _COSTS),
        any(name == "tooluses" for _, name in names),
    )


_known_shape = lru_cache(maxsize=1024)(_read_shape)


def _shape(obj: Mapping[str, Any]) -> _Shape:
    return _known_shape(tuple(obj)) if len(obj) <= MOST_KEYS else _read_shape(tuple(obj))


def counts(obj: Mapping[str, Any], *, named: bool = False, alone: bool = False) -> Counts | None:
    """The figures of a usage object, None if it is none.

    named: it stands under a key such as `usage` or `tokens`, so that short names (`input`, `cached`) mean tokens.
    alone: a single figure is enough; so it is in a named object.
    """
    shape = _shape(obj)
    roles = shape.short_roles if named else shape.roles
    if not roles:
        return None
    found: dict[str, tuple[str, int]] = {}
    names = set()
    for key, name, role in roles:
        number = whole(obj[key])
        if number is not None:
            names.add(name)
            if role not in found or _RANK[name] < _RANK[found[role][0]]:
                found[role] = (name, number)
    if not (
        ("input" in found or "output" in found or "total" in found)
        and _enough(found, (named or alone) and not shape.progress)
    ):
        return None
    figure = {role: number for role, (_, number) in found.items()}
    for key, name in shape.details:
        parts = obj[key]
        if isinstance(parts, dict):
            names.add(name)
            kinds = _DETAILS[name]
            by_age = 0
            for part, value in parts.items():
                kind = kinds.get(plain(part))
                if kind is not None and (number := whole(value)) is not None:
                    figure.setdefault(kind, number)
                elif kind is None and plain(part) in _WRITTEN_BY_AGE:
                    by_age += whole(value) or 0
            if by_age and not figure.get("cache_write"):
                figure["cache_write"] = by_age
    return _converted(figure, names, cost(obj))


def cost(obj: Mapping[str, Any]) -> float | None:
    """What an object says it cost, in dollars."""
    best: float | None = None
    best_rank = len(_COSTS)
    for key, rank in _shape(obj).costs:
        value = obj[key]
        if isinstance(value, dict):
            value = value.get("total", value.get("total_cost"))
        if rank < best_rank and isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
            best, best_rank = float(value), rank
    return best


def whole(value: Any) -> int | None:
    """A count of tokens, None if it cannot be one."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    elif isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 13:
        value = int(value)  # OpenTelemetry's logs print attributes as strings
    return value if isinstance(value, int) and 0 <= value < LARGEST else None


def _enough(found: Mapping[str, tuple[str, int]], alone: bool) -> bool:
    """Whether these keys make a usage object: two of input, output and total, or one full name alone."""
    main = [role for role in ("input", "output", "total") if role in found]
    return len(main) > 1 or (alone and any(_RANK[found[role][0]] < 100 for role in main))


def _converted(figure: dict[str, int], names: set[str], money: float | None) -> Counts:
    """Into the convention. Where a total is printed, it says what the other figures include."""
    cached = figure.get("cache_read", 0) + figure.get("cache_write", 0)
    thought, tool = figure.get("reasoning", 0), figure.get("tool", 0)
    given, made, total = figure.get("input"), figure.get("output"), figure.get("total")
    more_input = cached if names & _EXCLUDES_CACHE and not names & _INCLUDES_CACHE else 0
    more_output = thought if names & _EXCLUDES_REASONING else 0
    if given is not None and made is not None:
        if total is not None:
            readings = [
                (extra_in + extra_tool, extra_out)
                for extra_in, extra_out, extra_tool in (
                    (more_input, more_output, 0), (0, 0, 0), (cached, 0, 0), (0, thought, 0), (cached, thought, 0),
                    (0, thought, tool), (0, 0, tool),
                )
                if given + extra_in + extra_tool + made + extra_out == total
            ]  # fmt: skip
            if readings:
                more_input, more_output = readings[0]
            elif total > given + more_input + made + more_output:
                more_output = total - given - more_input - made  # reasoning that is only in the total
        if not more_input and cached > given:  # a part cannot be more than the whole
            more_input = cached
        if not more_output and thought > made:
            more_output = thought
        given, made = given + more_input, made + more_output
        total = given + made
    elif given is not None and total is not None and "prompttokencount" in names and total >= given + tool:
        given, made = given + tool, total - given - tool  # Gemini leaves out what is zero: all was thought, or nothing
    elif given is not None:
        given += more_input
    return Counts(
        given, made, total, figure.get("cache_read"), figure.get("cache_write"), figure.get("reasoning"), money
    )  # fmt: skip
