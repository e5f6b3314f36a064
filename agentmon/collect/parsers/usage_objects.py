"""One walker over every object that tells token usage, whatever tool wrote it.

`read` takes a document (parsed JSON, or a Python repr made into mappings and lists) and gives the usage that it
shows: calls and totals, every call once even where the document repeats it.
"""

import re
from dataclasses import replace

from agentmon.collect.parsers.usage_shapes import Counts, cost, plain
from agentmon.collect.parsers.usage_walk import (
    ANSWERS,
    MODEL_NAME,
    NOT_USAGE,
    Found,
    Place,
    added,
    around,
    per_model,
    walk,
)
from agentmon.events import TokenUsage

_HEX = re.compile(r"[0-9a-fA-F-]{8,}")


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
    if name in NOT_USAGE and name not in ANSWERS:
        return []
    if isinstance(obj, dict) and obj and all(MODEL_NAME.search(str(k)) for k in obj):
        models = per_model(obj)
        if models is not None:
            return [Found(added(models.values()), Place(scope="session"), 0, models)]
    found = _distinct(list(walk(obj, name)))
    return found or _cost_alone(obj)


def _cost_alone(obj: object) -> list[Found]:
    """A closing record that tells the cost of a session, and no tokens."""
    place = around(obj, Place()) if isinstance(obj, dict) else Place()
    money = cost(obj) if isinstance(obj, dict) and place.scope == "session" else None
    return [Found(Counts(cost=money), place, 0)] if money else []


def usage(
    found: Found, *, tool: str | None = None, model: str | None = None, session_id: str | None = None
) -> TokenUsage:  # fmt: skip
    """As the payload of an event. tool, model and session_id: where the document does not tell them."""
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
        session_id=place.session_id or session_id,
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
    return first is None or second is None or first == second or _kind(first) != _kind(second)


def _kind(call_id: str) -> str:
    """What sort of id it is: `chatcmpl` and `lc_run` may name one call, two of a sort do not."""
    if _HEX.fullmatch(call_id):
        return "hex"
    match = re.match(r"[A-Za-z_]*", call_id)
    return match[0] if match else ""


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
    parts = added([c.counts for c in rest])
    if (parts.input, parts.output) != (calls[outer].counts.input, calls[outer].counts.output):
        return calls
    return rest
