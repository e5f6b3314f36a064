"""Figures as people read them (`1,234`, `2.4k`, `$0.0031`) and the token convention that they are brought to."""

from collections.abc import Mapping

from agentmon.collect.parsers.patterns import Pattern
from agentmon.events import TokenUsage

_UNITS = {"k": 1_000, "m": 1_000_000}
_COUNTED = frozenset({"input", "output", "total", "cache_read", "cache_write", "reasoning"})
_LIMIT = 10**13  # more than anybody prints: a number beyond it is an id or a hash


def count(text: str) -> tuple[int, bool] | None:
    """A count, and whether it was rounded (`2.4k`); None for what is no count."""
    if len(text) < 20 and text.isdigit() and text.isascii():
        plain = int(text)
        return (plain, False) if plain < _LIMIT else None
    digits = text.replace(",", "").replace("_", "")
    unit = _UNITS.get(digits[-1:].lower())
    try:
        value = float(digits[:-1]) * unit if unit else int(digits)
    except ValueError:
        return None
    return (round(value), unit is not None) if 0 <= value < _LIMIT else None


def money(text: str) -> float | None:
    """Dollars; None for what is no amount."""
    try:
        value = float(text.replace(",", "").lstrip("$"))
    except ValueError:
        return None
    return value if 0 <= value < _LIMIT else None


def usage_of(pattern: Pattern, groups: Mapping[str, str | None]) -> TokenUsage | None:
    """What `groups` of a line say, in the convention: input includes cached tokens, output includes reasoning."""
    figures: dict[str, int] = {}
    estimated = pattern.estimated
    for name, text in groups.items():
        if text is None or name not in _COUNTED:
            continue
        value = count(text)
        if value is None:
            return None
        figures[name] = value[0]
        estimated = estimated or value[1]
    given, made = figures.get("input"), figures.get("output")
    if given is not None and ("cache_read" in figures or "cache_write" in figures):
        parts = [part for part in ("cache_read", "cache_write") if part in figures]
        if sum(figures[part] for part in parts) <= given:  # a part cannot be more than the whole
            parts = [part for part in parts if part not in pattern.input_includes]
        given += sum(figures[part] for part in parts)
    if made is not None:
        made += figures.get("reasoning", 0) if "reasoning" not in pattern.output_includes else 0
    cost_text = groups.get("cost")
    cost = money(cost_text) if cost_text is not None else None
    total = given + made if given is not None and made is not None else figures.get("total")
    if total is None and cost is None:
        return None
    return TokenUsage(
        model=groups.get("model"),
        input_tokens=given,
        output_tokens=made,
        total_tokens=total,
        cost_usd=cost,
        cache_read_tokens=figures.get("cache_read"),
        cache_write_tokens=figures.get("cache_write"),
        reasoning_tokens=figures.get("reasoning"),
        scope="session" if groups.get("whole") else pattern.scope,
        tool=pattern.tool,
        estimated=estimated or None,
        cost_source=None if cost is None else "tool",
    )
