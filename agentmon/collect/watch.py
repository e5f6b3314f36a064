"""Watch: budgets and limits of a run. Events in, alerts out; what is to be done about them is the relay's.

A budget counts what the fold counts. A figure that was only estimated never stops a run by itself, unless that was
asked for. Every rule warns once (at 80 % of a budget) and fires once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from agentmon.events import Alert, Event, ProcessMetrics, TokenUsage
from agentmon.usage import Ledger

Action = Literal["warn", "stop", "kill"]
Severity = Literal["warning", "critical"]
WARN_AT = 0.8
_IDLE_SHARE = 0.01  # of one core: less than this is no work


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use. Dollars, tokens, MiB, percent of one core, seconds; None is no limit.

    daily: dollars of the team over all runs of the day. on_budget: what to do when a budget is used up. on_alert: a
    command for the shell, which gets the alert as JSON on its stdin.
    """

    budget: float | None = None
    budget_tokens: int | None = None
    daily: float | None = None
    memory_mb: float | None = None
    cpu_percent: float | None = None
    cpu_for: float = 60.0
    stall: float | None = None
    on_budget: Action = "stop"
    count_estimates: bool = False
    on_alert: str | None = None

    @property
    def any(self) -> bool:
        """Whether there is anything to watch."""
        return any(v is not None for v in (
            self.budget, self.budget_tokens, self.daily, self.memory_mb, self.cpu_percent, self.stall,
        ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """An alert, and what the relay is asked to do: `warn` is nothing but the notice."""

    alert: Alert
    action: Action

    @property
    def too_late(self) -> "Verdict":
        """The same where the command has ended already: it can only be told."""
        return Verdict(replace(self.alert, action="warn"), "warn")


class Watch:
    """Watches one run. clock: monotonic seconds. spent_before: dollars of the team's other runs of today."""

    def __init__(
        self, limits: Limits, clock: Callable[[], float], spent_before: Callable[[], float] = lambda: 0.0
    ) -> None:  # fmt: skip
        self._limits, self._clock, self._spent_before = limits, clock, spent_before
        self._ledger, self._exact = Ledger(), Ledger()
        self._dirty = False
        self._told: set[tuple[str, str]] = set()
        self._high_since: float | None = None
        self._active_at = clock()
        self._cpu_time = 0.0
        self._sampled_at: float | None = None

    def see(self, event: Event) -> None:
        """Take one event."""
        match event.payload:
            case TokenUsage() as usage:
                self._ledger.add(event.agent_id, usage)
                if not usage.estimated:
                    self._exact.add(event.agent_id, usage)
                self._dirty = True
                self._active_at = self._clock()
            case _:
                return

    def saw_output(self) -> None:
        """The child wrote something."""
        self._active_at = self._clock()

    def sampled(self, sample: ProcessMetrics) -> Iterator[Verdict]:
        """Judge a sample of the process tree."""
        now, limits, tree = self._clock(), self._limits, sample.tree
        if tree.cpu_time_s is not None:
            since = now - self._sampled_at if self._sampled_at is not None else 0.0
            if tree.cpu_time_s - self._cpu_time > _IDLE_SHARE * since:
                self._active_at = now
            self._cpu_time, self._sampled_at = tree.cpu_time_s, now
        if limits.memory_mb is not None and tree.memory_mb is not None and tree.memory_mb > limits.memory_mb:
            yield from self._fire("max-memory", tree.memory_mb, limits.memory_mb, "warn")
        if limits.cpu_percent is not None:
            if tree.cpu_percent is None or tree.cpu_percent <= limits.cpu_percent:
                self._high_since = None
            elif self._high_since is None:
                self._high_since = now
            elif now - self._high_since >= limits.cpu_for:
                yield from self._fire("max-cpu", tree.cpu_percent, limits.cpu_percent, "warn")
        if limits.stall is not None:
            if now - self._active_at >= limits.stall:
                yield from self._fire("stall", round(now - self._active_at, 1), limits.stall, "warn")
            else:
                self._told.discard(("stall", "critical"))

    def judge(self) -> Iterator[Verdict]:
        """Judge the budgets; cheap where no call came since the last time."""
        if not self._dirty:
            return
        self._dirty = False
        limits = self._limits
        sums, exact = self._ledger.totals(), self._exact.totals()
        if limits.budget is not None:
            yield from self._budget("budget", sums.cost_usd, exact.cost_usd, limits.budget)
        if limits.budget_tokens is not None:
            yield from self._budget("budget-tokens", sums.total_tokens, exact.total_tokens, limits.budget_tokens)
        if limits.daily is not None:
            before = self._spent_before()
            yield from self._budget(
                "daily-budget", before + (sums.cost_usd or 0.0), before + (exact.cost_usd or 0.0), limits.daily
            )

    def _budget(self, rule: str, value: float | None, exact: float | None, limit: float) -> Iterator[Verdict]:
        if value is None:
            return
        certain = value if self._limits.count_estimates else exact
        if certain is not None and certain >= limit:
            yield from self._fire(rule, certain, limit, self._limits.on_budget)
        elif value >= limit:
            yield from self._fire(f"{rule} (estimated)", value, limit, "warn")
        elif value >= WARN_AT * limit:
            yield from self._fire(rule, value, limit, "warn", "warning")

    def _fire(
        self, rule: str, value: float, limit: float, action: Action, severity: Severity = "critical"
    ) -> Iterator[Verdict]:  # fmt: skip
        if (rule, severity) in self._told:
            return
        self._told.add((rule, severity))
        yield Verdict(Alert(rule, severity, value, limit, action), action)
