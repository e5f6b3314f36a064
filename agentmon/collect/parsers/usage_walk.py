"""Walk a document for the objects in it that tell token usage, and what the objects around them say of these."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from agentmon.collect.parsers.usage_shapes import MOST_KEYS, Counts, cost, counts, plain
from agentmon.events import Scope

DEEPEST = 48
MOST_NODES = 200_000

CALLS = frozenset(  # keys under which one call's usage stands
    {"usage", "usagemetadata", "tokenusage", "tokens", "metrics", "llmusage", "tokencounts", "tokencount",
     "responseusage", "completionusage", "stepusage", "modelusage", "messageusage", "requestusage", "responsemetrics",
     "modelsusage", "lasttokenusage", "lastusage", "usagedetails", "turnusage", "turntokenusage"}
)  # fmt: skip
TOTALS = frozenset(  # and a total of many calls
    {"usagemetrics", "stats", "sessionmetrics", "usagesummary", "usagetotals", "tokentotals", "totals", "tokenstotal"}
) | {
    qualifier + name
    for qualifier in (
        "total", "thread", "session", "cumulative", "accumulated", "aggregate", "aggregated", "run", "overall",
        "conversation", "lifetime",
    )
    for name in ("usage", "tokenusage", "tokens", "usagemetadata")
}  # fmt: skip
_BY_MODEL = frozenset(
    {"modelusage", "models", "modelmetrics", "usagebymodel", "bymodel", "permodel", "modelstats", "lmusage"}
)
_SHADOWED = {  # where both stand in one object, the first says what the second repeats, or only a part of it
    "lasttokenusage": ("totaltokenusage",), "lastusage": ("totalusage",), "turntokenusage": ("usage",),
    "stats": ("modelusage", "usage"),
    "usage": ("modelusage",), "billedunits": ("tokens",),
}  # fmt: skip
NOT_USAGE = frozenset(  # limits, prices and what tools were asked or answered: figures in there are none of ours
    {"limits", "limit", "ratelimits", "ratelimit", "pricing", "prices", "price", "cost", "costs", "budget", "quota",
     "input", "arguments", "args", "parameters", "rawinput", "tooluseresult", "toolresults", "toolresult", "result",
     "output", "generationconfig", "config", "settings", "capabilities", "modelinfo", "limitdetails", "estimate",
     "estimates", "estimated", "contextwindow", "contextusage", "context", "partial", "kwargsschema", "tools",
     "invocationparams", "aggregatedoutput", "partialresult", "assistantmessageevent", "tooltelemetry",
     "content", "default", "defaults", "example", "examples", "expected", "sample", "schema",
     "jsonschema", "inputschema"}
)  # fmt: skip
ANSWERS = frozenset({"result", "output"})  # a tool's, or a reply: the object around them tells
_RESULT_TYPES = frozenset(  # records that close a session, and tell its total
    {"result", "turn.completed", "session.shutdown", "session_end", "session.end", "run_completed", "complete",
     "summary", "final"}
)  # fmt: skip
_SPANS_OF_SPANS = frozenset({"invoke_agent", "create_agent", "execute_tool", "invoke_workflow"})
_REQUESTS = frozenset({"successfulrequests", "requests", "llmcalls", "totalrequests", "apicalls", "modelcalls"})
_ID_KEYS = (
    "id",
    "responseid",
    "messageid",
    "generationid",
    "requestid",
    "apicallid",
    "completionid",
    "callid",
    "genairesponseid",
    "providerresponseid",
)
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
PARTIAL_NAMES = frozenset(plain(kind) for kind in ("message_start", "message_delta"))
MODEL_NAME = re.compile(r"[a-z].*[-\d/:]", re.IGNORECASE)
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


def _one_of(value: object, words: frozenset[str]) -> bool:
    return isinstance(value, str) and value in words


def is_total(obj: Mapping[str, Any]) -> bool:
    """Several requests beside the tokens make it a total (CrewAI, pydantic-ai, OpenAI Agents)."""
    return any(isinstance(v, int) and v > 1 for k, v in obj.items() if plain(k) in _REQUESTS)


def walk(root: object, key: str = "") -> Iterator[Found]:
    """Every usage object in a document, in its order. key: the plain word that stood before the document."""
    stack: list[tuple[object, str, Place, int]] = [(root, key, Place(), 0)]
    nodes = 0
    while stack:
        value, name, place, depth = stack.pop()
        nodes += 1
        if nodes > MOST_NODES:
            return
        if isinstance(value, dict):
            yield from _look(value, name, place, depth, stack)
        elif isinstance(value, (list, tuple)) and depth < DEEPEST:
            for item in reversed(value):
                if isinstance(item, (dict, list, tuple)):
                    stack.append((item, name, place, depth + 1))


def _look(
    obj: Mapping[str, Any], key: str, place: Place, depth: int, stack: list[tuple[object, str, Place, int]]
) -> Iterator[Found]:
    """The usage that one object is or holds; its other objects are left for later."""
    place = around(obj, place)
    alone = key in CALLS or key in TOTALS or key in PARTIAL_NAMES or _one_of(obj.get("type"), _RESULT_TYPES)
    if (figures := counts(obj, named=_of_tokens(key), alone=alone)) is not None:
        if _one_of(obj.get("gen_ai.operation.name"), _SPANS_OF_SPANS):
            return
        if key not in NOT_USAGE and not figures.nothing:
            total = key in TOTALS or is_total(obj)
            yield Found(figures, replace(place, scope="session") if total else place, depth)
        return
    keys = {plain(k): k for k, v in obj.items() if isinstance(v, (dict, list, tuple))}
    later: list[tuple[object, str, Place, int]] = []
    for name, original in keys.items():
        if name in NOT_USAGE and (name not in ANSWERS or _is_tool_record(obj)):
            continue
        if name in _SHADOWED and _any_usage(obj, keys, _SHADOWED[name]):
            continue
        value = obj[original]
        if isinstance(value, dict) and (name in CALLS or name in TOTALS or name in _BY_MODEL):
            if (name in _BY_MODEL or name in TOTALS) and (models := _model_map(value)) is not None:
                total_of = added(models.values())
                money = cost(obj)
                figures = total_of if money is None else replace(total_of, cost=money)
                yield Found(figures, replace(place, scope="session"), depth, models)
                continue
            if name not in _BY_MODEL and (figures := counts(value, named=_of_tokens(name), alone=True)) is not None:
                if not figures.nothing:
                    yield _held(obj, value, name, figures, place, depth, keys)
                continue
        if depth < DEEPEST:
            later.append((value, name, place, depth + 1))
    stack.extend(reversed(later))


def _held(
    obj: Mapping[str, Any], value: Mapping[str, Any], name: str, figures: Counts, place: Place, depth: int,
    keys: Mapping[str, str],
) -> Found:  # fmt: skip
    """Usage that stands in `obj` under `name`."""
    if name in TOTALS or is_total(value):
        place = replace(place, scope="session")
    if figures.cost is None:
        figures = replace(figures, cost=cost(obj))
    if place.call_id is None and isinstance(at := obj.get("timestamp"), int) and "role" in obj:
        place = replace(place, call_id=f"at-{at}")  # pi repeats a message without an id, but with its time
    if obj.get("stop_reason", "") is None and not any(plain(k) == "totaltokens" for k in value):
        # Claude Code prints a message with the figures of its beginning: its output is not known yet.
        figures = replace(figures, output=None, total=None)
    return Found(figures, place, depth, _names(obj, value, keys))


def _marks(keys: tuple[str, ...]) -> tuple[tuple[str, str, int], ...]:
    """The keys that tell something about the place: (key, field of Place, rank)."""
    return tuple((key, *_AROUND[name]) for key in keys if (name := plain(key)) in _AROUND)


_known_marks = lru_cache(maxsize=1024)(_marks)


def around(obj: Mapping[str, Any], place: Place) -> Place:
    """What this object adds to what is known of the place."""
    seen: dict[str, tuple[int, str]] = {}
    for key, field, rank in _known_marks(tuple(obj)) if len(obj) <= MOST_KEYS else _marks(tuple(obj)):
        value = obj[key]
        if isinstance(value, str) and 0 < len(value) <= 256 and (field not in seen or rank < seen[field][0]):
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


def _of_tokens(name: str) -> bool:
    """Whether short names mean tokens under this key: `metrics` may as well be of rows, and `models` of prices."""
    return "usage" in name or "token" in name or name in PARTIAL_NAMES


def _is_tool_record(obj: Mapping[str, Any]) -> bool:
    return any(plain(k) in ("toolcallid", "tooluseid", "toolname", "tool", "callid") for k in obj)


def _any_usage(obj: Mapping[str, Any], keys: Mapping[str, str], names: Sequence[str]) -> bool:
    for name in names:
        value = obj.get(keys.get(name, ""))
        if isinstance(value, dict):
            figures = counts(value, named=_of_tokens(name), alone=True)
            if (figures is not None and not figures.nothing) or _model_map(value):
                return True
    return False


def _names(obj: Mapping[str, Any], value: Mapping[str, Any], keys: Mapping[str, str]) -> Mapping[str, Counts] | None:
    """The split by model that a total carries, in itself or in the statistics beside it."""
    for holder in (value, obj.get(keys.get("stats", ""))):
        if isinstance(holder, dict):
            for key, models in holder.items():
                if plain(key) in _BY_MODEL and isinstance(models, dict):
                    return per_model(models)
    return None


def _model_map(obj: Mapping[str, Any]) -> Mapping[str, Counts] | None:
    """Usage by model: the mapping itself, or one below it under `models` (Gemini CLI's stats)."""
    direct = per_model(obj)
    if direct is not None:
        return direct
    if counts(obj, alone=True) is None:
        for key, value in obj.items():
            if plain(key) in _BY_MODEL and isinstance(value, dict):
                return per_model(value)
    return None


def per_model(obj: Mapping[str, Any]) -> Mapping[str, Counts] | None:
    """{model: usage}, where every value is usage or holds one; None if it is something else."""
    models: dict[str, Counts] = {}
    for name, value in obj.items():
        if not isinstance(value, dict) or not name or plain(name) in CALLS or len(models) > 200:
            return None
        figures = counts(value, alone=True)
        if figures is None:
            held = next((k for k, v in value.items() if plain(k) in CALLS and isinstance(v, dict)), None)
            figures = counts(value[held], named=_of_tokens(plain(held)), alone=True) if held is not None else None
            if figures is not None and figures.cost is None:
                figures = replace(figures, cost=cost(value))
        if figures is None:
            return None
        if not figures.nothing:
            models[str(name)] = figures
    return models or None


def added(parts: Any) -> Counts:
    """Field by field; unknown where no part knows it."""
    totals: dict[str, Any] = {}
    for part in parts:
        for name in ("input", "output", "total", "cache_read", "cache_write", "reasoning", "cost"):
            value = getattr(part, name)
            if value is not None:
                totals[name] = totals.get(name, 0) + value
    return Counts(**totals)
