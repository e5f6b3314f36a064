"""Sessions: what the events of one session of one tool add up to, and whose it is.

A session is told by single calls, by running totals of everything so far, or by both. A total stands for the calls
that it holds; calls after it are added; a count that goes down is that of another process and begins anew.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any

from agentmon.events import TokenUsage

TOKENS = (
    "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip
COUNTS = (*TOKENS, "cost_usd")
_COUNTED = attrgetter(*COUNTS)


@dataclass(slots=True)
class Sums:
    """Sums of what was known; a field that was never known stays None. estimated: some figure in it was not exact."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    estimated: bool | None = None

    def add(self, usage: "TokenUsage | Sums | Mapping[str, Any]") -> None:
        """Add what is known."""
        if isinstance(usage, Mapping):
            values = [usage.get(name) for name in COUNTS]
        else:
            values = [*_COUNTED(usage)]
            if usage.estimated:
                self.estimated = True
        for name, value in zip(COUNTS, values, strict=True):
            if value is not None:
                setattr(self, name, (getattr(self, name) or 0) + value)

    def less(self, other: "Sums") -> "Sums":
        """What is left without `other`; unknown where that is more than there was."""
        rest = Sums(estimated=self.estimated)
        for name in COUNTS:
            whole, part = getattr(self, name), getattr(other, name)
            if whole is not None:
                left = whole - (part or 0)
                setattr(rest, name, left if left >= 0 else None)
        return rest


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the run's usage that belongs to one agent and one model; either may be unknown."""

    agent: str
    model: str | None
    sums: Sums


@dataclass(slots=True)
class Seen:
    """One event as it was counted. after: how many totals of its session had come before it; seq, at: its place in the
    stream, and its time (Unix seconds)."""

    agent: str
    usage: TokenUsage
    after: int = 0
    repeated: bool = False
    seq: int = 0
    at: float | None = None


@dataclass(slots=True)
class Session:
    """What one source told of one session. totals: finished counts, the last of them still running.

    tool: whose session it is; the first records may not tell it yet.
    """

    tool: str | None = None
    session_id: str | None = None
    calls: list[Seen] = field(default_factory=list)
    by_id: dict[str, Seen] = field(default_factory=dict)
    totals: list[Seen] = field(default_factory=list)
    totals_seen: int = 0


def add_total(session: Session, seen: Seen) -> None:
    """A running total replaces the one before; where a count went down, another one has begun."""
    session.totals_seen += 1
    if session.totals:
        before = session.totals[-1].usage
        if not _went_down(before, seen.usage):
            if same_figures(before, seen.usage):
                seen.usage = filled(seen.usage, before)
            session.totals[-1] = seen
            return
    session.totals.append(seen)


def _went_down(before: TokenUsage, after: TokenUsage) -> bool:
    return any(
        (old := getattr(before, name)) is not None
        and (new := getattr(after, name)) is not None
        and new < old * (1 - 1e-9)
        for name in ("input_tokens", "output_tokens", "total_tokens", "cost_usd")
    )


def total(session: Session) -> Sums:
    """The session's sums: its total where there is one, with the details that only its calls know."""
    if not session.totals:
        return added(session.calls)
    sums = added(session.totals)
    covered = [c for c in session.calls if c.after < session.totals_seen or c.usage.call_id is None]
    parts = added(covered)
    if covered and _agree(sums, parts):
        for name in COUNTS:
            if getattr(sums, name) is None:
                setattr(sums, name, getattr(parts, name))
    sums.add(added(_later(session)))
    return sums


def _later(session: Session) -> list[Seen]:
    """Calls that came after the last total, which therefore does not hold them."""
    if not session.totals:
        return []
    return [c for c in session.calls if c.after >= session.totals_seen and c.usage.call_id is not None]


def _agree(total: Sums, parts: Sums) -> bool:
    """Whether the calls that were seen are all that the total sums up."""
    pairs = [(getattr(total, n), getattr(parts, n)) for n in ("input_tokens", "output_tokens")]
    known = [(whole, part) for whole, part in pairs if whole is not None and part is not None]
    return bool(known) and all(whole == part for whole, part in known)


def shares(session: Session) -> Iterator[Share]:
    """The session's sums, split by agent and model as far as its events tell."""
    if not session.totals:
        for call in session.calls:
            yield from _split(call.agent, call.usage, added([call]))
        return
    left = total(session)
    main = session.totals[-1].agent
    others: dict[tuple[str, str | None], Sums] = {}
    later = {id(call) for call in _later(session)}
    for call in session.calls:
        if call.agent != main or id(call) in later:
            others.setdefault((call.agent, call.usage.model), Sums()).add(call.usage)
    for (agent, model), sums in others.items():
        yield Share(agent, model, sums)
        left = left.less(sums)
    models = {c.usage.model for c in session.calls if c.usage.model}
    if any(t.usage.models for t in session.totals):
        yield from _by_models(session, main, others, left)
        return
    model = session.totals[-1].usage.model or (next(iter(models)) if len(models) == 1 else None)
    if model is None and len(models) > 1:
        for call in session.calls:
            if call.agent == main:
                yield Share(main, call.usage.model, added([call]))
                left = left.less(added([call]))
    yield Share(main, model, left)


def _by_models(
    session: Session, main: str, others: Mapping[tuple[str, str | None], Sums], left: Sums
) -> Iterator[Share]:  # fmt: skip
    """A total that its tool splits by model."""
    named: dict[str, Sums] = {}
    for seen in session.totals:
        for name, figures in (seen.usage.models or {}).items():
            named.setdefault(name, Sums()).add(figures)
    for (_, called), sums in others.items():
        held = next((name for name in named if called and name.split("[")[0] == called), None)
        if held is not None:
            named[held] = named[held].less(sums)
    for name, sums in named.items():
        yield Share(main, name, sums)
        left = left.less(sums)
    if any(getattr(left, name) for name in ("input_tokens", "output_tokens")):
        yield Share(main, None, left)


def _split(agent: str, usage: TokenUsage, sums: Sums) -> Iterator[Share]:
    if usage.models:
        for model, figures in usage.models.items():
            part = Sums()
            part.add(figures)
            yield Share(agent, model, part)
    else:
        yield Share(agent, usage.model, sums)


def added(seen: Iterable[Seen]) -> Sums:
    """The sums of some events."""
    sums = Sums()
    for item in seen:
        sums.add(item.usage)
    return sums


def figures_of(usage: TokenUsage | Sums) -> tuple[int | None, int | None]:
    """Input and output: what tells usage apart."""
    return usage.input_tokens, usage.output_tokens


def same_figures(one: TokenUsage, other: TokenUsage) -> bool:
    """Whether two events may tell of the same thing: equal input and output, and no two models."""
    figures = figures_of(one)
    return None not in figures and figures == figures_of(other) and (
        one.model is None or other.model is None or one.model.split("[")[0] == other.model.split("[")[0]
    )  # fmt: skip


def filled(usage: TokenUsage, other: TokenUsage) -> TokenUsage:
    """With what only the other knows."""
    names = (f.name for f in fields(usage))
    return replace(usage, **{n: getattr(other, n) for n in names if getattr(usage, n) is None})
