"""Prices: what a call cost, where its tool did not say so.

A tool's own figure stays. Else a person's own price file decides, then genai-prices (0.2, offline), which is imported
when the first event needs it: the import takes 300 ms.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from agentmon.errors import AgentmonError
from agentmon.events import Finding, TokenUsage

_FIELDS = ("input", "output", "cache_read", "cache_write")
_MILLION = Decimal(1_000_000)
_SHORT_CONTEXT = 100_000  # a prompt this long pays no surcharge for its length in any list
_LOCAL = frozenset({"ollama", "ollama_chat", "lm_studio", "lmstudio", "vllm", "llamacpp", "local", "mlx"})
_BEDROCK = re.compile(r"(?:[a-z]{2,6}\.)?(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen)\.")
_SUFFIX = re.compile(r"\[[^\]]{0,20}\]$")


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A price of one's own: models by glob, dollars per million tokens. Cached input costs input where not given."""

    model: str
    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None

    def of(self, usage: "Amounts") -> Decimal:
        """Dollars for these tokens."""
        plain = usage.input - usage.cache_read - usage.cache_write
        return (
            plain * self.input
            + usage.cache_read * (self.input if self.cache_read is None else self.cache_read)
            + usage.cache_write * (self.input if self.cache_write is None else self.cache_write)
            + usage.output * self.output
        ) / _MILLION


@dataclass(frozen=True, slots=True)
class Amounts:
    """Tokens to be priced, in the convention: input holds the cached ones, output the reasoning."""

    input: int
    output: int
    cache_read: int
    cache_write: int


class Pricer:
    """Gives findings their cost. notice is called once for every model that no list knows."""

    def __init__(self, own: tuple[OwnPrice, ...] = (), notice: Callable[[str], None] | None = None) -> None:
        self._own = own
        self._notice = notice
        self._unknown: set[str] = set()

    def price(self, finding: Finding, time: float | None = None) -> Finding:
        """The finding with its cost, if that can be known. time: Unix seconds of the call; prices change."""
        usage = finding.payload
        if not isinstance(usage, TokenUsage) or usage.cost_usd is not None:
            return finding
        cost = self._split(usage, time) if usage.models else self._single(usage, time)
        return finding if cost is None else replace(finding, payload=replace(cost, cost_source="prices"))

    def _single(self, usage: TokenUsage, time: float | None) -> TokenUsage | None:
        amounts = _amounts(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens)
        if usage.model is None or amounts is None:
            return None
        dollars = self._dollars(usage.model, amounts, usage.scope == "session", time)
        return None if dollars is None else replace(usage, cost_usd=dollars)

    def _split(self, usage: TokenUsage, time: float | None) -> TokenUsage | None:
        """A total that is split by model: each part at its own price, the sum only if every part has one."""
        models: dict[str, Mapping[str, Any]] = {}
        for name, part in (usage.models or {}).items():
            cost = part.get("cost_usd")
            if cost is None:
                amounts = _amounts(*(part.get(f"{n}_tokens") for n in _FIELDS))
                cost = None if amounts is None else self._dollars(name, amounts, True, time)
            models[name] = {**part, "cost_usd": cost}
        costs = [part["cost_usd"] for part in models.values()]
        if all(cost is None for cost in costs):
            return None
        return replace(usage, models=models, cost_usd=None if None in costs else sum(costs))

    def _dollars(self, model: str, amounts: Amounts, many_calls: bool, time: float | None) -> float | None:
        for own in self._own:
            if fnmatchcase(model.lower(), own.model.lower()):
                return float(own.of(amounts))
        if model in self._unknown:
            return None
        dollars = _listed(model, amounts, many_calls, time)
        if dollars is None:
            self._unknown.add(model)
            if self._notice is not None:
                self._notice(f"no price is known for model {model!r}: its cost is left out (--prices FILE can tell it)")
        return dollars


def load(path: str) -> tuple[OwnPrice, ...]:
    """The prices of a TOML file: a table `[[price]]` each, the first whose glob fits counts. Raises AgentmonError.

    [[price]]
    model = "gpt-4o*"
    input = 2.5
    output = 10
    cache_read = 1.25
    cache_write = 2.5
    """
    import tomllib

    try:
        with open(path, "rb") as file:
            content = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AgentmonError(f"{path}: not TOML: {error}") from None
    tables = content.pop("price", None)
    if content or not isinstance(tables, list) or not tables:
        extra = ", ".join(content) if content else "no [[price]] table"
        raise AgentmonError(f"{path}: {extra}: expected tables [[price]] and nothing else")
    return tuple(_own(table, f"{path}: price {number}") for number, table in enumerate(tables, 1))


def _own(table: Any, place: str) -> OwnPrice:
    if not isinstance(table, dict):
        raise AgentmonError(f"{place}: not a table")
    if unknown := sorted(set(table) - {"model", *_FIELDS}):
        raise AgentmonError(f"{place}: unknown key {unknown[0]!r}")
    model = table.get("model")
    if not isinstance(model, str) or not model:
        raise AgentmonError(f"{place}: model: expected a name or a glob")
    place = f"{place} ({model})"
    return OwnPrice(
        model, _money(table, "input", place), _money(table, "output", place),
        *(_money(table, name, place) if name in table else None for name in _FIELDS[2:]),
    )  # fmt: skip


def _money(table: Mapping[str, Any], name: str, place: str) -> Decimal:
    value = table.get(name)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        money = Decimal(value)
        if money.is_finite() and 0 <= money < 1_000_000:
            return money
    raise AgentmonError(f"{place}: {name}: expected dollars per million tokens")


def _amounts(given: int | None, made: int | None, read: int | None, written: int | None) -> Amounts | None:
    """None where a price could only be a part of the price."""
    if given is None or made is None or (read or 0) + (written or 0) > given:
        return None
    return Amounts(given, made, read or 0, written or 0)


def _listed(model: str, amounts: Amounts, many_calls: bool, time: float | None) -> float | None:
    from genai_prices import Usage, calc_price

    # A session's total is no single long prompt: a part of it is priced, so that no surcharge for length is due.
    parts = -(-amounts.input // _SHORT_CONTEXT) if many_calls and amounts.input > _SHORT_CONTEXT else 1
    usage = Usage(
        input_tokens=_part(amounts.input, parts),
        output_tokens=_part(amounts.output, parts),
        cache_read_tokens=_part(amounts.cache_read, parts),
        cache_write_tokens=_part(amounts.cache_write, parts),
    )
    for name, provider in _names(model):
        try:
            at = None if time is None else datetime.fromtimestamp(time, UTC)
            return float(calc_price(usage, name, provider_id=provider, genai_request_timestamp=at).total_price * parts)
        except LookupError:
            continue
        except Exception:  # whatever is wrong with a list costs the price, never the stream of events
            return None
    return None


def _part(tokens: int, parts: int) -> Any:
    return tokens if parts == 1 else Decimal(tokens) / parts


def _names(model: str) -> Iterator[tuple[str, str | None]]:
    """The names under which a model may be listed: as it is, without its route (`azure/gpt-4o`), as Bedrock's."""
    name = _SUFFIX.sub("", model.strip())
    route, _, rest = name.partition("/")
    if route.lower() in _LOCAL and rest:
        return
    if _BEDROCK.match(name):
        yield name, "aws"
    yield name, None
    if rest:
        if route == "openrouter":
            yield rest, "openrouter"
        yield name.rpartition("/")[2], None
