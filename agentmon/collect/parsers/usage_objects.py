"""One walker over every object that tells token usage, whatever tool wrote it.

`read` takes a document (parsed JSON, or a Python repr made into mappings and lists) and gives the usage that it
shows: calls and totals, every call once even where the document repeats it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentmon.collect.parsers.usage_shapes import Counts, cost, counts, plain
from agentmon.events import Scope, TokenUsage

DEEPEST = 48
MOST_NODES = 200_000

_CALLS = frozenset(  # keys under which one call's usage stands
    {"usage", "usagemetadata", "tokenusage", "tokens", "metrics", "llmusage", "tokencounts", "tokencount",
     "responseusage", "completionusage", "stepusage", "modelusage", "messageusage", "requestusage", "responsemetrics",
     "modelsusage", "lasttokenusage", "lastusage", "usagedetails"}
)  # fmt: skip
_TOTALS = frozenset(  # and a total of many calls
    {"totalusage", "totaltokenusage", "accumulatedtokenusage", "accumulatedusage", "cumulativeusage", "sessionusage",
     "usagemetrics", "stats", "sessionmetrics", "sessiontokens", "usagesummary", "runusage", "aggregateusage",
     "aggregatedusage", "totaltokens", "tokenstotal", "usagetotals", "tokentotals", "totals", "cumulativetokens"}
)  # fmt: skip
_BY_MODEL = frozenset(
    {"modelusage", "models", "modelmetrics", "usagebymodel", "bymodel", "permodel", "modelstats", "lmusage"}
)
_SHADOWED = {  # where both stand in one object, the first says what the second repeats, or only a part of it
    "lasttokenusage": ("totaltokenusage",), "lastusage": ("totalusage",), "stats": ("modelusage", "usage"),
    "usage": ("modelusage",), "billedunits": ("tokens",),
}  # fmt: skip
_NOT_USAGE = frozenset(  # limits, prices and what tools were asked or answered: figures in there are none of ours
    {"limits", "limit", "ratelimits", "ratelimit", "pricing", "prices", "price", "cost", "costs", "budget", "quota",
     "input", "arguments", "args", "parameters", "rawinput", "tooluseresult", "toolresults", "toolresult", "result",
     "output", "generationconfig", "config", "settings", "capabilities", "modelinfo", "limitdetails", "estimate",
     "estimates", "estimated", "contextwindow", "contextusage", "context", "partial", "kwargsschema", "tools",
     "invocationparams", "aggregatedoutput", "partialresult", "assistantmessageevent", "tooltelemetry"}
)  # fmt: skip
_ANSWERS = frozenset({"result", "output"})  # a tool's, or a reply: the object around them tells
_RESULT_TYPES = frozenset(  # records that close a session, and tell its total
    {"result", "turn.completed", "session.shutdown", "session_end", "session.end", "run_completed", "complete",
     "summary", "final"}
)  # fmt: skip
_SPANS_OF_SPANS = frozenset({"invoke_agent", "create_agent", "execute_tool", "invoke_workflow"})
_REQUESTS = frozenset({"successfulrequests", "requests", "llmcalls", "totalrequests", "apicalls", "modelcalls"})
_ID_KEYS = ("id", "responseid", "messageid", "generationid", "requestid", "apicallid", "completionid", "callid")
_SESSION_KEYS = ("sessionid", "threadid", "conversationid", "chatid")
_MODEL_KEYS = (
    "model",
    "modelname",
    "modelid",
    "modelversion",
    "responsemodel",
    "genairesponsemodel",
    "genairequestmodel",
)
_AGENT_KEYS = ("agentname", "agent", "author")
_AROUND = {
    name: (field, rank)
    for field, names in (
        ("model", _MODEL_KEYS), ("call_id", _ID_KEYS), ("session_id", _SESSION_KEYS), ("agent", _AGENT_KEYS),
        ("parent", ("parenttooluseid",)), ("type", ("type",)),
    )
    for rank, name in enumerate(names)
}  # fmt: skip
_PARTIAL_NAMES = frozenset(plain(kind) for kind in ("message_start", "message_delta"))
_MODEL_NAME = re.compile(r"[a-z].*[-\d/:]", re.IGNORECASE)
_NAME = re.compile(r"[\w][\w .:&-]{0,63}")
_PARTIAL_TYPES = frozenset(
    {"message_start", "message_update", "message_delta", "response.created", "response.in_progress"}
)


@dataclass(frozen=True, slots=True)
class Place:
    """What the objects around a usage object say about it.

    call_id is the id of the object that holds the usage, no other: an id further out is that of a whole run or trace.
    partial: a stream's event of a message that is not complete. parent: the tool call that the acting agent serves.
    """

    model: str | None = None
    call_id: str | None = None
    session_id: str | None = None
    agent: str | None = None
    parent: str | None = None
    partial: bool = False
    scope: Scope = "call"


@dataclass(frozen=True, slots=True)
class Found:
    """One usage object: its figures, and where it stood. depth counts the objects around it."""

    counts: Counts
    place: Place
    depth: int
    models: Mapping[str, Counts] | None = None


def read(
    obj: object, *, tool: str | None = None, model: str | None = None, key: str = ""
) -> list[TokenUsage]:  # fmt: skip
    """The usage that an object shows: itself a usage object, a mapping from model to usage, or a document of any.

    key: the word that stood before it (`usage`, `total_usage`), which says how to take short names.
    """
    return [usage(found, tool=tool, model=model) for found in find(obj, key)]


def find(obj: object, key: str = "") -> list[Found]:
    """Every usage in a document, repeats and partial figures left out. key: as in `read`."""
    name = plain(key)
    if name in _NOT_USAGE and name not in _ANSWERS:
        return []
    if isinstance(obj, Mapping):
        named = name in _CALLS or name in _TOTALS or name in _PARTIAL_NAMES
        if (figures := counts(obj, named=named)) is not None:
            total = name in _TOTALS or _is_total(obj)
            place = _around(obj, Place())
            return [] if figures.nothing else [Found(figures, replace(place, scope="session") if total else place, 0)]
        if all(_MODEL_NAME.search(str(k)) for k in obj) and (models := _per_model(obj)) is not None:
            return [Found(_sum(models.values()), Place(scope="session"), 0, models)]
    return _distinct(list(_walk(obj)))


def usage(found: Found, *, tool: str | None = None, model: str | None = None) -> TokenUsage:
    """As the payload of an event."""
    figures, place = found.counts, found.place
    only = next(iter(found.models)) if found.models and len(found.models) == 1 else None
    return TokenUsage(
        model=place.model or only or model,
        input_tokens=figures.input,
        output_tokens=figures.output,
        total_tokens=figures.total,
        cost_usd=figures.cost,
        cache_read_tokens=figures.cache_read,
        cache_write_tokens=figures.cache_write,
        reasoning_tokens=figures.reasoning,
        scope=place.scope,
        call_id=place.call_id if place.scope == "call" else None,
        session_id=place.session_id,
        tool=tool,
        cost_source="tool" if figures.cost is not None else None,
        models={name: _fields(of) for name, of in found.models.items()} if found.models else None,
    )


def _fields(figures: Counts) -> dict[str, int | float | None]:
    return {
        "input_tokens": figures.input, "output_tokens": figures.output, "total_tokens": figures.total,
        "cache_read_tokens": figures.cache_read, "cache_write_tokens": figures.cache_write,
        "reasoning_tokens": figures.reasoning, "cost_usd": figures.cost,
    }  # fmt: skip


def _one_of(value: object, words: frozenset[str]) -> bool:
    return isinstance(value, str) and value in words


def _is_total(obj: Mapping[str, Any]) -> bool:
    """Several requests beside the tokens make it a total (CrewAI, pydantic-ai, OpenAI Agents)."""
    return any(isinstance(v, int) and v > 1 for k, v in obj.items() if plain(k) in _REQUESTS)


def _walk(root: object) -> Iterator[Found]:
    stack: list[tuple[object, str, Place, int]] = [(root, "", Place(), 0)]
    nodes = 0
    while stack:
        value, key, place, depth = stack.pop()
        nodes += 1
        if nodes > MOST_NODES:
            return
        if isinstance(value, Mapping):
            yield from _look(value, key, place, depth, stack)
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and depth < DEEPEST:
            for item in reversed(value):
                if isinstance(item, Mapping | list | tuple):
                    stack.append((item, key, place, depth + 1))


def _look(
    obj: Mapping[str, Any], key: str, place: Place, depth: int, stack: list[tuple[object, str, Place, int]]
) -> Iterator[Found]:
    """The usage that one object is or holds; its other objects are left for later."""
    place = _around(obj, place)
    if (figures := counts(obj, named=_one_of(obj.get("type"), _RESULT_TYPES))) is not None:
        if _one_of(obj.get("gen_ai.operation.name"), _SPANS_OF_SPANS):
            return
        if key not in _NOT_USAGE and not figures.nothing:
            total = key in _TOTALS or _is_total(obj)
            yield Found(figures, replace(place, scope="session") if total else place, depth)
        return
    keys = {plain(k): k for k, v in obj.items() if isinstance(v, Mapping | list | tuple)}
    for name, original in keys.items():
        if name in _NOT_USAGE and (name not in _ANSWERS or _is_tool_record(obj)):
            continue
        if name in _SHADOWED and _any_usage(obj, keys, _SHADOWED[name]):
            continue
        value = obj[original]
        if isinstance(value, Mapping) and (name in _CALLS or name in _TOTALS or name in _BY_MODEL):
            if (name in _BY_MODEL or name in _TOTALS) and (models := _model_map(value)) is not None:
                total_of = _sum(models.values())
                money = cost(obj)
                figures = total_of if money is None else replace(total_of, cost=money)
                yield Found(figures, replace(place, scope="session"), depth, models)
                continue
            if name not in _BY_MODEL and (figures := counts(value, named=True)) is not None:
                if not figures.nothing:
                    yield _held(obj, value, name, figures, place, depth, keys)
                continue
        if depth < DEEPEST:
            stack.append((value, name, place, depth + 1))


def _held(
    obj: Mapping[str, Any], value: Mapping[str, Any], name: str, figures: Counts, place: Place, depth: int,
    keys: Mapping[str, str],
) -> Found:  # fmt: skip
    """Usage that stands in `obj` under `name`."""
    if name in _TOTALS or _is_total(value):
        place = replace(place, scope="session")
    if figures.cost is None:
        figures = replace(figures, cost=cost(obj))
    if place.call_id is None and isinstance(at := obj.get("timestamp"), int) and "role" in obj:
        place = replace(place, call_id=f"at-{at}")  # pi repeats a message without an id, but with its time
    if obj.get("stop_reason", "") is None and not any(plain(k) == "totaltokens" for k in value):
        # Claude Code prints a message with the figures of its beginning: its output is not known yet.
        figures = replace(figures, output=None, total=None)
    return Found(figures, place, depth, _names(obj, value, keys))


def _around(obj: Mapping[str, Any], place: Place) -> Place:
    """What this object adds to what is known of the place."""
    seen: dict[str, tuple[int, str]] = {}
    for key, value in obj.items():
        if isinstance(value, str) and 0 < len(value) <= 256 and (known := _AROUND.get(plain(key))) is not None:
            field, rank = known
            if field not in seen or rank < seen[field][0]:
                seen[field] = rank, value
    if not seen:
        return place if place.call_id is None else replace(place, call_id=None)
    said = {field: value for field, (_, value) in seen.items()}
    kind, agent = said.get("type"), said.get("agent")
    return Place(
        said.get("model") or place.model,
        said.get("call_id"),
        said.get("session_id") or place.session_id,
        agent if agent and _NAME.fullmatch(agent) else place.agent,
        said.get("parent") or place.parent,
        place.partial or kind in _PARTIAL_TYPES,
        "session" if kind in _RESULT_TYPES else place.scope,
    )


def _is_tool_record(obj: Mapping[str, Any]) -> bool:
    return any(plain(k) in ("toolcallid", "tooluseid", "toolname", "tool", "callid") for k in obj)


def _any_usage(obj: Mapping[str, Any], keys: Mapping[str, str], names: Sequence[str]) -> bool:
    for name in names:
        value = obj.get(keys.get(name, ""))
        if isinstance(value, Mapping):
            figures = counts(value, named=True)
            if (figures is not None and not figures.nothing) or _model_map(value):
                return True
    return False


def _names(obj: Mapping[str, Any], value: Mapping[str, Any], keys: Mapping[str, str]) -> Mapping[str, Counts] | None:
    """The split by model that a total carries, in itself or in the statistics beside it."""
    for holder in (value, obj.get(keys.get("stats", ""))):
        if isinstance(holder, Mapping):
            for key, models in holder.items():
                if plain(key) in _BY_MODEL and isinstance(models, Mapping):
                    return _per_model(models)
    return None


def _model_map(obj: Mapping[str, Any]) -> Mapping[str, Counts] | None:
    """Usage by model: the mapping itself, or one below it under `models` (Gemini CLI's stats)."""
    direct = _per_model(obj)
    if direct is not None:
        return direct
    if counts(obj, named=True) is None:
        for key, value in obj.items():
            if plain(key) in _BY_MODEL and isinstance(value, Mapping):
                return _per_model(value)
    return None


def _per_model(obj: Mapping[str, Any]) -> Mapping[str, Counts] | None:
    """{model: usage}, where every value is usage or holds one; None if it is something else."""
    models: dict[str, Counts] = {}
    for name, value in obj.items():
        if not isinstance(value, Mapping) or not name or plain(name) in _CALLS or len(models) > 200:
            return None
        figures = counts(value, named=True)
        if figures is None:
            inner = next((v for k, v in value.items() if plain(k) in _CALLS and isinstance(v, Mapping)), None)
            figures = counts(inner, named=True) if inner is not None else None
            if figures is not None and figures.cost is None:
                figures = replace(figures, cost=cost(value))
        if figures is None:
            return None
        if not figures.nothing:
            models[str(name)] = figures
    return models or None


def _sum(parts: Any) -> Counts:
    """Field by field; unknown where no part knows it."""
    totals: dict[str, Any] = {}
    for part in parts:
        for name in ("input", "output", "total", "cache_read", "cache_write", "reasoning", "cost"):
            value = getattr(part, name)
            if value is not None:
                totals[name] = totals.get(name, 0) + value
    return Counts(**totals)


def _distinct(found: list[Found]) -> list[Found]:
    """Without what a document says twice: the same figures in another dialect, or a total beside its parts."""
    calls: list[Found] = []
    by_figures: dict[tuple[int | None, int | None], int] = {}
    for item in found:
        if item.place.scope == "session":
            continue
        figures = (item.counts.input, item.counts.output)
        at = by_figures.get(figures)
        if at is not None and _same_call(calls[at], item):
            calls[at] = _merged(calls[at], item)
            continue
        by_figures[figures] = len(calls)
        calls.append(item)
    totals = [item for item in found if item.place.scope == "session"]
    if len(calls) > 2:
        calls = _without_sum(calls)
    return calls + totals


def _same_call(one: Found, other: Found) -> bool:
    """Whether two equal figures in one document are one call: unless both have ids and these are of one kind."""
    first, second = one.place.call_id, other.place.call_id
    return first is None or second is None or first == second or first[:4] != second[:4]


def _merged(one: Found, other: Found) -> Found:
    figures = Counts(
        *(
            a if a is not None else b
            for a, b in ((getattr(one.counts, n), getattr(other.counts, n)) for n in Counts.__slots__)
        )
    )
    place = one.place
    return Found(
        figures,
        replace(place, model=place.model or other.place.model, call_id=place.call_id or other.place.call_id,
                agent=place.agent or other.place.agent),
        one.depth,
    )  # fmt: skip


def _without_sum(calls: list[Found]) -> list[Found]:
    """An outermost figure that is the sum of all others is their total."""
    outer = min(range(len(calls)), key=lambda i: calls[i].depth)
    rest = [c for i, c in enumerate(calls) if i != outer]
    parts = _sum([c.counts for c in rest])
    if (parts.input, parts.output) != (calls[outer].counts.input, calls[outer].counts.output):
        return calls
    return rest
