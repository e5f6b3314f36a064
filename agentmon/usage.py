"""Usage: the sums over model calls, every token counted once.

The Ledger takes llm_call events as they come and reconciles them when it is asked: calls with running totals of the
same session, exact sources with what was printed, repeats with their first. Figures are tokens and US dollars; what
nobody told stays None.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from agentmon.events import Source, TokenUsage
from agentmon.sessions import (
    COUNTS,
    TOKENS,
    Seen,
    Session,
    Share,
    Sums,
    add_total,
    figures_of,
    filled,
    same_figures,
    shares,
    total,
)  # fmt: skip

__all__ = ["COUNTS", "TOKENS", "Ledger", "Share", "Sums"]

_EXACT = ("sdk", "otlp")  # the first is believed where both tell of one process
# A total goes on where a thread is resumed in another process; elsewhere every process counts from zero.
_TOTALS_OUTLIVE_PROCESSES = frozenset({"codex"})  # 0.169.0
# Agents that call models outside of Python: calls that the SDK hook saw without knowing the tool are not theirs.
_OWN_RUNTIME = frozenset({"claude-code", "codex", "copilot-cli", "gemini-cli", "opencode", "pi", "qwen-code"})
_RECENT = 32  # calls with ids whose usage may be printed once more


@dataclass(frozen=True, slots=True)
class Origin:
    """A share of what counts, the source that told it, and who named its cost: the tool, or the price list."""

    source: Source
    share: Share
    costs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Before:
    """The sums of events that nobody has any more: a snapshot told them."""

    totals: Sums
    by_agent: dict[str, Sums]
    by_model: dict[str, Sums]
    calls: int
    calls_unknown: int


_Key = tuple[str, str | None, str | None, int]


@dataclass(slots=True)
class Ledger:
    """All usage of one run. This is the place where sources, scopes and repeats are reconciled.

    before: what was used before the first event. A session's total that is told later and is no less may hold it: then
    that total counts.
    """

    before: Before | None = None
    _sessions: dict[_Key, Session] = field(default_factory=dict)
    _named: "deque[Seen]" = field(default_factory=lambda: deque(maxlen=_RECENT))
    _repeats: dict[Source, Sums] = field(default_factory=dict)  # by the source that told a call once more
    _unnamed: "deque[Seen]" = field(default_factory=lambda: deque(maxlen=_RECENT))

    def add(
        self, agent_id: str, usage: TokenUsage, process: int = 0, seq: int = 0, at: float | None = None
    ) -> None:  # fmt: skip
        """Take one llm_call event. process: counts up where another stream of events begins; seq, at: as in Seen."""
        if usage.tool in _TOTALS_OUTLIVE_PROCESSES and usage.session_id is not None:
            process = 0
        tool = usage.tool if usage.session_id is None else None
        session = self._sessions.setdefault((usage.source, tool, usage.session_id, process), Session())
        session.tool, session.session_id = session.tool or usage.tool, usage.session_id
        if usage.scope == "session":
            add_total(session, Seen(agent_id, usage, seq=seq, at=at))
        else:
            self._add_call(session, Seen(agent_id, usage, session.totals_seen, seq=seq, at=at))

    def _add_call(self, session: Session, seen: Seen) -> None:
        usage = seen.usage
        if usage.call_id is None:
            known = next((s for s in self._named if not s.repeated and same_figures(s.usage, usage)), None)
            if known is not None:  # the call's own record, and then a print of its usage
                if known.usage.source != usage.source:
                    self._repeats.setdefault(usage.source, Sums()).add(usage)
                known.usage, known.repeated = filled(known.usage, usage), True
                return
            session.calls.append(seen)
            self._unnamed.append(seen)
            return
        before = session.by_id.get(usage.call_id)
        if before is not None:
            before.usage = _larger(before.usage, usage)
            return
        printed = next((s for s in self._unnamed if not s.repeated and same_figures(s.usage, usage)), None)
        if printed is not None and usage.source == printed.usage.source:  # its usage, then its record
            printed.usage, printed.repeated, printed.agent = filled(usage, printed.usage), True, seen.agent
            session.by_id[usage.call_id] = printed
            return
        session.by_id[usage.call_id] = seen
        session.calls.append(seen)
        self._named.append(seen)

    def totals(self) -> Sums:
        """The run's sums."""
        sums = Sums()
        counted = self._counted()
        for session in counted:
            sums.add(total(session))
        if (before := self._before(counted)) is not None:
            sums.add(before.totals)
            sums.estimated = sums.estimated or before.totals.estimated
        return _with_total(sums)

    def by_model(self) -> dict[str, Sums]:
        """Sums per model, of what is known by model."""
        return self._by(lambda share: share.model, lambda before: before.by_model)

    def by_agent(self) -> dict[str, Sums]:
        """Sums per agent_id."""
        return self._by(lambda share: share.agent, lambda before: before.by_agent)

    def origins(self) -> Iterator[Origin]:
        """What counts, by source, agent and model."""
        for session in self._counted():
            seen = (*session.totals, *session.calls)
            costs = frozenset(s.usage.cost_source for s in seen if s.usage.cost_source is not None)
            for share in shares(session):
                yield Origin(seen[0].usage.source, share, costs)

    def told(self) -> dict[Source, Sums]:
        """What each source told by itself, whether it counts or another source told it better."""
        told: dict[Source, Sums] = {}
        for session in self._sessions.values():
            if _tells_anything(session):
                told.setdefault((*session.totals, *session.calls)[0].usage.source, Sums()).add(total(session))
        for source, sums in self._repeats.items():
            told.setdefault(source, Sums()).add(sums)
        return {source: _with_total(sums) for source, sums in told.items()}

    def by_agent_and_model(self) -> dict[tuple[str, str | None], Sums]:
        """Sums per agent_id and model, where the model is None if nobody told it."""
        return self._by(
            lambda share: (share.agent, share.model),
            lambda before: {(agent, None): sums for agent, sums in before.by_agent.items()},
        )

    def calls_by_agent_and_model(self) -> dict[tuple[str, str | None], int]:
        """How many single calls of each are counted."""
        return Counter((seen.agent, seen.usage.model) for s in self._counted() for seen in s.calls)

    def calls(self) -> int:
        """How many single calls are known and counted."""
        counted = self._counted()
        before = self._before(counted)
        return sum(len(session.calls) for session in counted) + (before.calls if before is not None else 0)

    def model_calls(self) -> Iterator[tuple[Seen, bool]]:
        """The single calls there were, each once: those that count, and those that an exact source saw without their
        usage. True for a call that a total of its session sums up."""
        ids = set()
        for session in self._counted():
            for seen in session.calls:
                ids.add(seen.usage.call_id)
                yield seen, bool(session.totals)
        for (source, *_), session in self._sessions.items():
            if source in _EXACT and not _tells_anything(session):
                for seen in session.calls:
                    if seen.usage.call_id is None or seen.usage.call_id not in ids:
                        ids.add(seen.usage.call_id)
                        yield seen, False

    def calls_unknown(self) -> int:
        """How many calls were seen whose usage nobody told."""
        return (self.before.calls_unknown if self.before is not None else 0) + sum(
            1
            for session in self._sessions.values()
            if not session.totals
            for seen in session.calls
            if not _tells(seen.usage) and (seen.usage.status or 200) < 400
        )

    def _before(self, counted: list[Session]) -> Before | None:
        """What was used before the first event, where no total holds it."""
        if self.before is None:
            return None
        known = figures_of(self.before.totals)
        for session in counted:
            whole = figures_of(total(session)) if session.totals else (None, None)
            if any(whole) and all((w or 0) >= (k or 0) for w, k in zip(whole, known, strict=True)):
                return None
        return self.before

    def _by(
        self, name: Callable[[Share], Any], past: Callable[[Before], dict[Any, Sums]] | None = None
    ) -> dict[Any, Sums]:  # fmt: skip
        groups: dict[Any, Sums] = {}
        counted = self._counted()
        if past is not None and (before := self._before(counted)) is not None:
            groups = {key: replace(sums) for key, sums in past(before).items()}
        for session in counted:
            for share in shares(session):
                key = name(share)
                if key:
                    groups.setdefault(key, Sums()).add(share.sums)
        return {key: _with_total(sums) for key, sums in groups.items()}

    def _counted(self) -> list[Session]:
        """The sessions that count, without the calls that another source told better."""
        told = [(key, session) for key, session in self._sessions.items() if _tells_anything(session)]
        exact = [(key, s) for key, s in told if key[0] in _EXACT]
        hooked = {c.usage.pid for key, s in exact if key[0] == _EXACT[0] for c in s.calls if c.usage.pid is not None}
        ids: set[str] = set()
        counted: list[Session] = []
        for source in _EXACT:
            for key, session in exact:
                if key[0] == source:
                    better = hooked if source != _EXACT[0] else set()
                    kept = [c for c in session.calls if c.usage.pid not in better and c.usage.call_id not in ids]
                    counted.append(replace(session, calls=kept))
            ids.update(c.usage.call_id for s in counted for c in s.calls if c.usage.call_id is not None)
        tools = {session.tool for _, session in exact}
        seen = {session.tool for (source, *_), session in self._sessions.items() if source in _EXACT}
        blind = seen - tools - {None}  # an exact source saw their calls, and no usage
        printed = [
            s for key, s in told if key[0] not in _EXACT and (s.tool in blind or not _told_exactly(s.tool, tools))
        ]
        return counted + _without_repeats(printed, ids)


def _told_exactly(tool: str | None, exact_tools: set[str | None]) -> bool:
    """Whether what this tool printed is known from an exact source."""
    if tool is None:
        return bool(exact_tools)
    return tool in exact_tools or (None in exact_tools and tool not in _OWN_RUNTIME)


def _without_repeats(printed: list[Session], ids: set[str]) -> list[Session]:
    """Printed sessions without calls that an exact source has, and without what a known session or tool sums up to."""
    if ids:
        printed = [replace(s, calls=[c for c in s.calls if c.usage.call_id not in ids]) for s in printed]
    known = {figures_of(total(s)) for s in printed if s.tool is not None or s.session_id is not None}
    known.discard((None, None))
    return [s for s in printed if s.tool or s.session_id or figures_of(total(s)) not in known]


def _with_total(sums: Sums) -> Sums:
    """With total_tokens where both parts are known but no event told the sum of all."""
    if sums.input_tokens is not None and sums.output_tokens is not None:
        sums.total_tokens = max(sums.input_tokens + sums.output_tokens, sums.total_tokens or 0)
    return sums


def _larger(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    """Two looks at one call: a stream's figures only grow."""
    merged = {
        name: max(old, new)
        for name in COUNTS
        if (old := getattr(one, name)) is not None and (new := getattr(other, name)) is not None
    }
    return replace(filled(other, one), **merged)


def _tells(usage: TokenUsage) -> bool:
    return any(getattr(usage, name) is not None for name in COUNTS)


def _tells_anything(session: Session) -> bool:
    return any(_tells(seen.usage) for seen in (*session.totals, *session.calls))
