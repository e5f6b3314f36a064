"""Usage: the sums over model calls, every token counted once.

The Ledger takes llm_call events as they come and reconciles them when it is asked: calls with running totals of the
same session, exact sources with what was printed, repeats with their first. Figures are tokens and US dollars; what
nobody told stays None.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from agentmon.events import TokenUsage

TOKENS = (
    "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip
COUNTS = (*TOKENS, "cost_usd")
_EXACT = ("sdk", "otlp")  # the first is believed where both tell of one process
# A total goes on where a thread is resumed in another process; elsewhere every process counts from zero.
_TOTALS_OUTLIVE_PROCESSES = frozenset({"codex"})  # 0.169.0
# Agents that call models outside of Python: calls that the SDK hook saw without knowing the tool are not theirs.
_OWN_RUNTIME = frozenset({"claude-code", "codex", "copilot-cli", "gemini-cli", "opencode", "pi", "qwen-code"})
_RECENT = 32


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
        for name in COUNTS:
            value = usage.get(name) if isinstance(usage, Mapping) else getattr(usage, name)
            if value is not None:
                setattr(self, name, (getattr(self, name) or 0) + value)
        if not isinstance(usage, Mapping) and usage.estimated:
            self.estimated = True

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
class _Seen:
    """One event as it was counted. after: how many totals of its session had come before it."""

    agent: str
    usage: TokenUsage
    after: int = 0
    repeated: bool = False


@dataclass(slots=True)
class _Session:
    """What one source told of one session. totals: finished counts, the last of them still running.

    tool: whose session it is; the first records may not tell it yet.
    """

    tool: str | None = None
    calls: list[_Seen] = field(default_factory=list)
    by_id: dict[str, _Seen] = field(default_factory=dict)
    totals: list[_Seen] = field(default_factory=list)
    totals_seen: int = 0


_Key = tuple[str, str | None, str | None, int]


@dataclass(slots=True)
class Ledger:
    """All usage of one run. This is the place where sources, scopes and repeats are reconciled."""

    _sessions: dict[_Key, _Session] = field(default_factory=dict)
    _named: "deque[_Seen]" = field(default_factory=lambda: deque(maxlen=_RECENT))

    def add(self, agent_id: str, usage: TokenUsage, process: int = 0) -> None:
        """Take one llm_call event. process: counts up where another stream of events begins."""
        if usage.tool in _TOTALS_OUTLIVE_PROCESSES and usage.session_id is not None:
            process = 0
        tool = usage.tool if usage.session_id is None else None
        session = self._sessions.setdefault((usage.source, tool, usage.session_id, process), _Session())
        session.tool = session.tool or usage.tool
        if usage.scope == "session":
            _add_total(session, _Seen(agent_id, usage))
        else:
            self._add_call(session, _Seen(agent_id, usage, session.totals_seen))

    def _add_call(self, session: _Session, seen: _Seen) -> None:
        usage = seen.usage
        if usage.call_id is None:
            known = next((s for s in self._named if not s.repeated and _same_figures(s.usage, usage)), None)
            if known is not None:  # the call's own record, and then a print of its usage
                known.usage, known.repeated = _filled(known.usage, usage), True
                return
            session.calls.append(seen)
            return
        before = session.by_id.get(usage.call_id)
        if before is not None:
            before.usage = _larger(before.usage, usage)
            return
        session.by_id[usage.call_id] = seen
        session.calls.append(seen)
        self._named.append(seen)

    def totals(self) -> Sums:
        """The run's sums."""
        sums = Sums()
        for session in self._counted():
            sums.add(_total(session))
        return _with_total(sums)

    def by_model(self) -> dict[str, Sums]:
        """Sums per model, of what is known by model."""
        return self._by(lambda share: share.model)

    def by_agent(self) -> dict[str, Sums]:
        """Sums per agent_id."""
        return self._by(lambda share: share.agent)

    def calls(self) -> int:
        """How many single calls are known and counted."""
        return sum(len(session.calls) for session in self._counted())

    def calls_unknown(self) -> int:
        """How many calls were seen whose usage nobody told."""
        return sum(
            1
            for session in self._sessions.values()
            if not session.totals
            for seen in session.calls
            if not _tells(seen.usage) and (seen.usage.status or 200) < 400
        )

    def _by(self, name: Any) -> dict[str, Sums]:
        groups: dict[str, Sums] = {}
        for session in self._counted():
            for share in _shares(session):
                key = name(share)
                if key:
                    groups.setdefault(key, Sums()).add(share.sums)
        return {key: _with_total(sums) for key, sums in groups.items()}

    def _counted(self) -> list[_Session]:
        """The sessions that count, without the calls that another source told better."""
        told = [(key, session) for key, session in self._sessions.items() if _tells_anything(session)]
        exact = [(key, s) for key, s in told if key[0] in _EXACT]
        hooked = {c.usage.pid for key, s in exact if key[0] == _EXACT[0] for c in s.calls if c.usage.pid is not None}
        ids: set[str] = set()
        counted: list[_Session] = []
        for source in _EXACT:
            for key, session in exact:
                if key[0] == source:
                    better = hooked if source != _EXACT[0] else set()
                    kept = [c for c in session.calls if c.usage.pid not in better and c.usage.call_id not in ids]
                    counted.append(replace(session, calls=kept))
            ids.update(c.usage.call_id for s in counted for c in s.calls if c.usage.call_id is not None)
        tools = {session.tool for _, session in exact}
        printed = [s for key, s in told if key[0] not in _EXACT and not _told_exactly(s.tool, tools)]
        return counted + _without_repeats(printed, ids)


def _told_exactly(tool: str | None, exact_tools: set[str | None]) -> bool:
    """Whether what this tool printed is known from an exact source."""
    if tool is None:
        return bool(exact_tools)
    return tool in exact_tools or (None in exact_tools and tool not in _OWN_RUNTIME)


def _without_repeats(printed: list[_Session], ids: set[str]) -> list[_Session]:
    """Printed sessions without calls that an exact source has, and without prints of what a known tool totals."""
    if ids:
        printed = [replace(s, calls=[c for c in s.calls if c.usage.call_id not in ids]) for s in printed]
    totals = {_figures(_total(s)) for s in printed if s.tool is not None and s.totals}
    return [s for s in printed if s.tool is not None or s.totals or _figures(_sum(s.calls)) not in totals]


def _add_total(session: _Session, seen: _Seen) -> None:
    """A running total replaces the one before; where a count went down, another one has begun."""
    session.totals_seen += 1
    if session.totals:
        before = session.totals[-1].usage
        if not _went_down(before, seen.usage):
            if _same_figures(before, seen.usage):
                seen.usage = _filled(seen.usage, before)
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


def _total(session: _Session) -> Sums:
    """The session's sums: its total where there is one, with the details that only its calls know."""
    if not session.totals:
        return _sum(session.calls)
    sums = _sum(session.totals)
    covered = [c for c in session.calls if c.after < session.totals_seen or c.usage.call_id is None]
    parts = _sum(covered)
    if covered and _agree(sums, parts):
        for name in COUNTS:
            if getattr(sums, name) is None:
                setattr(sums, name, getattr(parts, name))
    sums.add(_sum(_later(session)))
    return sums


def _later(session: _Session) -> list[_Seen]:
    """Calls that came after the last total, which therefore does not hold them."""
    if not session.totals:
        return []
    return [c for c in session.calls if c.after >= session.totals_seen and c.usage.call_id is not None]


def _agree(total: Sums, parts: Sums) -> bool:
    """Whether the calls that were seen are all that the total sums up."""
    pairs = [(getattr(total, n), getattr(parts, n)) for n in ("input_tokens", "output_tokens")]
    known = [(whole, part) for whole, part in pairs if whole is not None and part is not None]
    return bool(known) and all(whole == part for whole, part in known)


def _shares(session: _Session) -> Iterator[Share]:
    if not session.totals:
        for call in session.calls:
            yield from _split(call.agent, call.usage, _sum([call]))
        return
    left = _total(session)
    main = session.totals[-1].agent
    others: dict[tuple[str, str | None], Sums] = {}
    later = _later(session)
    for call in session.calls:
        if call.agent != main or call in later:
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
                yield Share(main, call.usage.model, _sum([call]))
                left = left.less(_sum([call]))
    yield Share(main, model, left)


def _by_models(
    session: _Session, main: str, others: Mapping[tuple[str, str | None], Sums], left: Sums
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


def _sum(seen: Iterable[_Seen]) -> Sums:
    sums = Sums()
    for item in seen:
        sums.add(item.usage)
    return sums


def _with_total(sums: Sums) -> Sums:
    """With total_tokens where both parts are known but no event told the sum of all."""
    if sums.input_tokens is not None and sums.output_tokens is not None:
        sums.total_tokens = max(sums.input_tokens + sums.output_tokens, sums.total_tokens or 0)
    return sums


def _figures(usage: TokenUsage | Sums) -> tuple[int | None, int | None]:
    return usage.input_tokens, usage.output_tokens


def _same_figures(one: TokenUsage, other: TokenUsage) -> bool:
    figures = _figures(one)
    return None not in figures and figures == _figures(other) and (
        one.model is None or other.model is None or one.model.split("[")[0] == other.model.split("[")[0]
    )  # fmt: skip


def _filled(usage: TokenUsage, other: TokenUsage) -> TokenUsage:
    """With what only the other knows."""
    names = (f.name for f in fields(usage))
    return replace(usage, **{n: getattr(other, n) for n in names if getattr(usage, n) is None})


def _larger(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    """Two looks at one call: a stream's figures only grow."""
    merged = {
        name: max(old, new)
        for name in COUNTS
        if (old := getattr(one, name)) is not None and (new := getattr(other, name)) is not None
    }
    return replace(_filled(other, one), **merged)


def _tells(usage: TokenUsage) -> bool:
    return any(getattr(usage, name) is not None for name in COUNTS)


def _tells_anything(session: _Session) -> bool:
    return any(_tells(seen.usage) for seen in (*session.totals, *session.calls))
